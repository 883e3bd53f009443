// my_rule: any state, by its step for one token; here a matrix per head whose writes are bounded, whatever the error:
//
//   e = k W_{t−1} − v,  ê = e / √(1 + ‖e‖²/b²)        W_t = (1 − α_t) W_{t−1} − θ_t 2 kᵀ ê        y_t = q_t W_t
//
// the gradient step of 2b² (√(1 + ‖e‖²/b²) − 1). LoopMemory does the rest, and autograd the outer gradients; a loop over tokens is slow,
// and right for trying a rule (memory/loop_memory.h).
#include <ATen/ATen.h>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct MyRuleMemoryOptions : Options {
  double bound = 1;
  void describe(OptionVisitor& v) override { v.option("bound", bound, {1e-3, 1e6}, "norm that no written error exceeds"); }
};

class MyRuleMemory : public memory::LoopMemory {
 public:
  explicit MyRuleMemory(const MemoryContext& context)
      : memory::LoopMemory(context), bound_(own_options<MyRuleMemoryOptions>(context.options.own).bound) {}

  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true},
            {.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias}};
  }

 private:
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    return {{"weights", at::zeros({rows, heads_, key_width_, value_width_}, options)}};
  }

  at::Tensor step(const Tokens& token, Tensors& state) const override {
    at::Tensor& W = state.at("weights");                                // [B,H,K,V]
    const at::Tensor error = at::matmul(token.key, W) - token.value;  // [B,H,1,V]
    const at::Tensor size = (1 + error.square().sum(-1, true) / (bound_ * bound_)).sqrt();
    W = (1 - token.gates.at("alpha")) * W - at::matmul(token.key.transpose(-1, -2), 2 * token.gates.at("theta") * error / size);
    return 2 * bound_ * bound_ * (size - 1).squeeze(-1);
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, state.at("weights")); }

  double bound_;
};

}  // namespace

void register_memory_my_rule(MemoryRegistry& registry) {
  registry.add({.name = "my_rule",
                .summary = "a matrix per head whose writes are bounded",
                .make = [](const MemoryContext& context) { return std::make_shared<MyRuleMemory>(context); },
                .options = [] { return std::make_shared<MyRuleMemoryOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
