// Momentum (Titans, arXiv 2501.00663, eq. 10): step_t = S_t = η_t S_{t−1} + θ_t G_t; with memory.momentum_damping θ ← (1 − η) θ.
#include <ATen/ATen.h>

#include "memory/rule/optimizer.h"

namespace mneme {
namespace {

class MomentumDescent : public rule::Optimizer {
 public:
  explicit MomentumDescent(const rule::Context& c) : eta_bias_(c.memory.eta_bias), damping_(c.memory.momentum_damping) {}
  std::vector<Gate> gates() const override { return {{.name = "eta", .help = "momentum", .bias = eta_bias_}}; }
  at::Tensor step_sizes(const at::Tensor& theta, const rule::Tensors& gates) const override {
    return damping_ ? theta * (1 - gates.at("eta")) : theta;
  }
  std::vector<std::string> state() const override { return {"momentum"}; }
  at::Tensor step(const at::Tensor& gradient, const rule::Tensors& gates, rule::Tensors& own) const override {
    return own["momentum"] = gates.at("eta") * own.at("momentum") + gradient;
  }

 private:
  double eta_bias_;
  bool damping_;
};

}  // namespace

void register_optimizer_momentum(rule::OptimizerRegistry& registry) {
  registry.add({.name = "momentum",
                .summary = "past gradients carry on",
                .make = [](const rule::Context& c) { return std::make_shared<MomentumDescent>(c); },
                .reads = {"momentum", "momentum_damping"},
                .check = [](const MemoryOptions& options, Problems& problems) {
                  if (!options.momentum) problems.add("memory.momentum", "leaves optimizer = momentum nothing to do; choose optimizer = sgd");
                }});
}

}  // namespace mneme
