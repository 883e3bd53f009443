// Squared error, l = ‖M(k) − v‖² (Titans, arXiv 2501.00663, eq. 12). Slope 2 e.
#include <ATen/ATen.h>

#include "memory/rule/loss.h"

namespace mneme {
namespace {

class SquareLoss : public rule::Loss {
 public:
  Value of(const at::Tensor& outputs, const at::Tensor& values, const rule::Tensors&) const override {
    const at::Tensor error = outputs - values;
    return {error.square().sum(3), error * 2};
  }
};

}  // namespace

void register_loss_l2(rule::LossRegistry& registry) {
  registry.add({.name = "l2", .summary = "‖M(k) − v‖²", .make = [](const rule::Context&) { return std::make_shared<SquareLoss>(); }});
}

}  // namespace mneme
