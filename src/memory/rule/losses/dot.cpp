// Dot product, l = −⟨M(k), v⟩ (the loss of linear attention). Slope −v: nothing is ever fulfilled.
#include <ATen/ATen.h>

#include "memory/rule/loss.h"

namespace mneme {
namespace {

class DotLoss : public rule::Loss {
 public:
  Value of(const at::Tensor& outputs, const at::Tensor& values, const rule::Tensors&) const override {
    return {-(outputs * values).sum(3), -values};
  }
};

}  // namespace

void register_loss_dot(rule::LossRegistry& registry) {
  registry.add({.name = "dot", .summary = "−⟨M(k), v⟩", .make = [](const rule::Context&) { return std::make_shared<DotLoss>(); }});
}

}  // namespace mneme
