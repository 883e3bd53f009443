// Mean squared error, l = ‖M(k) − v‖² / V (titans-pytorch). Slope 2 e / V.
#include <ATen/ATen.h>

#include "memory/rule/loss.h"

namespace mneme {
namespace {

class MeanSquareLoss : public rule::Loss {
 public:
  Value of(const at::Tensor& outputs, const at::Tensor& values, const rule::Tensors&) const override {
    const at::Tensor error = outputs - values;
    return {error.square().mean(3), error * (2.0 / double(values.size(3)))};
  }
};

}  // namespace

void register_loss_l2_mean(rule::LossRegistry& registry) {
  registry.add(
      {.name = "l2_mean", .summary = "‖M(k) − v‖² over channels", .make = [](const rule::Context&) { return std::make_shared<MeanSquareLoss>(); }});
}

}  // namespace mneme
