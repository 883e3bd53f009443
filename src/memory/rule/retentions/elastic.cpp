// Elastic net retention (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 22): what is small is forgotten altogether.
//
//   W_t = soft_γ((1 − α_t) W_{t−1} − step),   soft_γ(z) = sign(z) max(0, |z| − γ)
//
// γ is per step: a weight that is never written again lasts |W|/γ of them.
#include <ATen/ATen.h>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

struct ElasticRetentionOptions : Options {
  double gamma = 0.001;
  void describe(OptionVisitor& v) override { v.option("gamma", gamma, {0, 1e6}, "what every weight loses per step"); }
};

class ElasticRetention : public rule::Retention {
 public:
  explicit ElasticRetention(const rule::Context& c) : gamma_(own_options<ElasticRetentionOptions>(c.own).gamma) {}
  at::Tensor next(const at::Tensor& W, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor&) const override {
    return at::softshrink(kept(W, alpha) - step, gamma_);
  }

 private:
  double gamma_;
};

}  // namespace

void register_retention_elastic(rule::RetentionRegistry& registry) {
  registry.add({.name = "elastic",
                .summary = "decay, and every step takes a little of every weight",
                .make = [](const rule::Context& c) { return std::make_shared<ElasticRetention>(c); },
                .options = [] { return std::make_shared<ElasticRetentionOptions>(); }});
}

}  // namespace mneme
