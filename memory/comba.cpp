// Comba (arXiv 2506.02475): the delta rule asks with a weaker key than it writes with, and a read is corrected by what was asked.
//
//   p_t = s k_t;   S_t = a_t S_{t−1} + β_t k_t (v_t − a_t S_{t−1}ᵀ p_t)ᵀ;   y_t = S_tᵀ (q_t − D p_t)
//
// s in (0, 1) and D are learned per head. A read of frozen weights (Memory::read) has no key: it is Sᵀ q, without the correction.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Comba : public memory::RecurrentMemory {
 public:
  explicit Comba(const MemoryContext& context) : RecurrentMemory(context) {
    ask_ = parameter("ask", at::ones({heads_, 1, 1}, at::kFloat), Role::memory_start);
    correction_ = parameter("correction", at::full({heads_, 1, 1}, .02, at::kFloat), Role::memory_start);
  }
  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "how much of a key's value is replaced", .bias = options_.theta_bias, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

 private:
  std::string equation() const override { return "p = s k;  S = a S;  S = S + β k (v − Sᵀ p)ᵀ;  y = Sᵀ (q − D p)"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &beta = in.gate("beta"), &decay = in.gate("decay"), asked = ask_.sigmoid() * in.key;
    return {.query = in.query - correction_ * asked, .write_key = in.key, .write_value = beta * in.value, .log_decay = decay,
            .erase = decay.exp() * beta * asked};
  }

  at::Tensor ask_, correction_;  // s = σ(ask), D: [H,1,1]
};

}  // namespace

void register_memory_comba(MemoryRegistry& registry) {
  registry.add({.name = "comba",
                .summary = "Comba: the delta rule that asks with a weaker key, and a correction of what is read",
                .make = [](const MemoryContext& context) { return std::make_shared<Comba>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
