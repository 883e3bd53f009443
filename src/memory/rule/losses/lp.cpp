// ℓp loss (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 24): l = Σ |e|^p, e = M(k) − v; a sum, so that p = 2 carries the factor 2.
//
//   slope p sign(e) |e|^{p−1}
//
// For p > 2 a large error steps beyond any bound. Own: |e| enters the slope as min(|e|, error_limit), an ℓp loss that goes on linearly;
// 0 = as published, which is not finite for all input.
#include <ATen/ATen.h>

#include "memory/rule/loss.h"

namespace mneme {
namespace {

struct LpLossOptions : Options {
  double p = 3, error_limit = 1;
  void describe(OptionVisitor& v) override {
    v.option("p", p, {1, 8}, "power of the loss");
    v.option("error_limit", error_limit, {0, 1e6}, "where the loss goes on linearly; 0 = nowhere, as published");
  }
};

class LpLoss : public rule::Loss {
 public:
  explicit LpLoss(const rule::Context& c) : own_(own_options<LpLossOptions>(c.own)) {}
  Value of(const at::Tensor& outputs, const at::Tensor& values, const rule::Tensors&) const override {
    const at::Tensor error = outputs - values, size = error.abs();
    const at::Tensor within = own_.error_limit > 0 ? size.clamp_max(own_.error_limit) : size;
    const at::Tensor slope = own_.p * within.clamp_min(1e-12).pow(own_.p - 1);
    const at::Tensor loss = within.pow(own_.p) + (own_.error_limit > 0 ? slope * (size - within) : at::zeros_like(size));
    return {loss.sum(3), error.sign() * slope};
  }

 private:
  LpLossOptions own_;
};

}  // namespace

void register_loss_lp(rule::LossRegistry& registry) {
  registry.add({.name = "lp",
                .summary = "Σ |M(k) − v|^p, linear beyond a limit",
                .make = [](const rule::Context& c) { return std::make_shared<LpLoss>(c); },
                .options = [] { return std::make_shared<LpLossOptions>(); }});
}

}  // namespace mneme
