// Plain descent: step_t = θ_t G_t.
#include <ATen/ATen.h>

#include "memory/rule/optimizer.h"

namespace mneme {
namespace {

class PlainDescent : public rule::Optimizer {
 public:
  at::Tensor step(const at::Tensor& gradient, const rule::Tensors&, rule::Tensors&) const override { return gradient; }
};

}  // namespace

void register_optimizer_sgd(rule::OptimizerRegistry& registry) {
  registry.add({.name = "sgd", .summary = "plain descent", .make = [](const rule::Context&) { return std::make_shared<PlainDescent>(); }});
}

}  // namespace mneme
