// my_rule: one matrix S [K,V] per head, from zero; a gated delta rule (Yang et al., arXiv 2412.06464) to start from.
//
//   S_t = a_t S_{t−1} − θ_t k_t (a_t S_{t−1}ᵀ k_t − v_t)ᵀ        y_t = S_tᵀ q_t        a, θ: gates, made of the token
//
// RecurrentMemory does the rest: tiles, splits, padding, documents, measurements. What a step may be: memory/recurrent_memory.h.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

struct MyRuleMemoryOptions : Options {
  bool erase = true;
  void describe(OptionVisitor& v) override { v.option("erase", erase, "a write replaces what its key held; false: it is added"); }
};

class MyRuleMemory : public memory::RecurrentMemory {
 public:
  explicit MyRuleMemory(const MemoryContext& context)
      : memory::RecurrentMemory(context), erase_(own_options<MyRuleMemoryOptions>(context.options.own).erase) {}

  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "step size", .bias = options_.theta_bias, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept, a", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias}};
  }

 private:
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &theta = in.gate("theta"), &log_decay = in.gate("decay");  // [B,H,T,1]
    Terms t{.query = in.query, .write_key = in.key, .write_value = theta * in.value, .log_decay = log_decay};
    if (erase_) t.erase = log_decay.exp() * theta * in.key;
    return t;
  }

  bool erase_;
};

}  // namespace

void register_memory_my_rule(MemoryRegistry& registry) {
  registry.add({.name = "my_rule",
                .summary = "a matrix per head: gated delta rule",
                .make = [](const MemoryContext& context) { return std::make_shared<MyRuleMemory>(context); },
                .options = [] { return std::make_shared<MyRuleMemoryOptions>(); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
