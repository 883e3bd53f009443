// Bounded weights (MIRAS, Behrouz et al., arXiv 2504.13173: the retention whose steps go through a sigmoid): steps are kept in logits L.
//
//   L_t = (1 − α_t) L_{t−1} − step,   W = c (2 σ(L) − 1)
//
// W = σ(L), as published, is never negative; own: here it lies in (−c, c), and forgetting leads to 0. The learned start is that of L.
#include <ATen/ATen.h>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

struct SigmoidRetentionOptions : Options {
  double c = 1;
  void describe(OptionVisitor& v) override { v.option("c", c, {1e-6, 1e6}, "what no weight exceeds"); }
};

class SigmoidRetention : public rule::Retention {
 public:
  explicit SigmoidRetention(const rule::Context& c) : c_(own_options<SigmoidRetentionOptions>(c.own).c) {}
  std::string state_name() const override { return "logits"; }
  at::Tensor parameter(const at::Tensor& weights, const at::Generator&) const override {
    return (weights / c_).clamp(-0.999, 0.999).atanh() * 2;
  }
  at::Tensor weights(const at::Tensor& L) const override { return c_ * (L / 2).tanh(); }
  at::Tensor next(const at::Tensor& L, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor&) const override {
    return kept(L, alpha) - step;
  }

 private:
  double c_;
};

}  // namespace

void register_retention_sigmoid(rule::RetentionRegistry& registry) {
  registry.add({.name = "sigmoid",
                .summary = "bounded weights: the steps go through a sigmoid",
                .make = [](const rule::Context& c) { return std::make_shared<SigmoidRetention>(c); },
                .options = [] { return std::make_shared<SigmoidRetentionOptions>(); }});
}

}  // namespace mneme
