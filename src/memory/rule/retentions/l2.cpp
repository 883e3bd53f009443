// Weight decay: W_t = (1 − α_t) W_{t−1} − step, the minimum of ½‖W − W_{t−1}‖² + ½ α/(1 − α) ‖W‖² + ⟨step, W⟩/(1 − α) (Titans, eq. 13).
#include <ATen/ATen.h>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

class DecayRetention : public rule::Retention {
 public:
  at::Tensor next(const at::Tensor& W, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor&) const override {
    return kept(W, alpha) - step;
  }
};

}  // namespace

void register_retention_l2(rule::RetentionRegistry& registry) {
  registry.add({.name = "l2", .summary = "weights decay to 0", .make = [](const rule::Context&) { return std::make_shared<DecayRetention>(); }});
}

}  // namespace mneme
