// Gated DeltaNet-2 (arXiv 2605.22791): what is erased and what is written have gates of their own, b per key channel, w per value channel.
//
//   S_t = diag(a_t) S_{t−1} + k_t (w_t ⊙ v_t − (diag(a_t) S_{t−1})ᵀ (b_t ⊙ k_t))ᵀ         b, w in (0, 1)
#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Gdn2 : public memory::RecurrentMemory {
 public:
  explicit Gdn2(const MemoryContext& context) : RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "erase", .help = "how much of a key's value is erased", .per = Gate::Per::key_channel, .bias = options_.theta_bias,
             .previous = false},
            {.name = "write", .help = "how much of a value is written", .per = Gate::Per::value_channel, .bias = options_.theta_bias,
             .previous = false, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .per = Gate::Per::key_channel, .activation = Gate::Activation::log_decay,
             .bias = options_.alpha_bias, .rank = 16, .previous = false}};
  }

 private:
  std::string equation() const override { return "S = diag(a) S;  S = S + k (w ⊙ v − Sᵀ (b ⊙ k))ᵀ"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor& decay = in.gate("decay");
    return {.query = in.query, .write_key = in.key, .write_value = in.gate("write") * in.value, .log_decay = decay,
            .erase = decay.exp() * in.gate("erase") * in.key};
  }
};

}  // namespace

void register_memory_gdn2(MemoryRegistry& registry) {
  registry.add({.name = "gdn2",
                .summary = "Gated DeltaNet-2: the delta rule with an erase gate per key channel and a write gate per value channel",
                .make = [](const MemoryContext& context) { return std::make_shared<Gdn2>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
