// Kimi Delta Attention (arXiv 2510.26692): the delta rule with a decay of its own for every key channel.
//
//   S_t = diag(a_t) S_{t−1} + β_t k_t (v_t − (diag(a_t) S_{t−1})ᵀ k_t)ᵀ         a = exp(−A softplus(x W_down W_up + bias))
#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Kda : public memory::RecurrentMemory {
 public:
  explicit Kda(const MemoryContext& context) : RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "how much of a key's value is replaced", .bias = options_.theta_bias, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .per = Gate::Per::key_channel, .activation = Gate::Activation::log_decay,
             .bias = options_.alpha_bias, .rank = 16, .previous = false}};
  }

 private:
  std::string equation() const override { return "S = diag(a) S;  S = S + β k (v − Sᵀ k)ᵀ"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &beta = in.gate("beta"), &decay = in.gate("decay");
    return {.query = in.query, .write_key = in.key, .write_value = beta * in.value, .log_decay = decay,
            .erase = decay.exp() * beta * in.key};
  }
};

}  // namespace

void register_memory_kda(MemoryRegistry& registry) {
  registry.add({.name = "kda",
                .summary = "Kimi Delta Attention: the delta rule, what is kept has a gate for every key channel",
                .make = [](const MemoryContext& context) { return std::make_shared<Kda>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
