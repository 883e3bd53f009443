// Gated linear attention (Yang et al., arXiv 2312.06635): a decay of its own for every key channel.
//
//   S_t = diag(a_t) S_{t−1} + k_t v_tᵀ
//
// The write is scaled by a gate, θ in (0, 1): a token that has nothing to say writes nothing (the published layer has none).
#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Gla : public memory::RecurrentMemory {
 public:
  explicit Gla(const MemoryContext& context) : RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "how much is written", .bias = options_.theta_bias, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .per = Gate::Per::key_channel, .activation = Gate::Activation::log_decay,
             .bias = options_.alpha_bias, .rank = 16, .previous = false}};
  }

 private:
  std::string equation() const override { return "S = diag(a) S + θ k vᵀ"; }
  Terms terms(const MemoryInput& in, State&) const override {
    return {.query = in.query, .write_key = in.key, .write_value = in.gate("theta") * in.value, .log_decay = in.gate("decay")};
  }
};

}  // namespace

void register_memory_gla(MemoryRegistry& registry) {
  registry.add({.name = "gla",
                .summary = "gated linear attention: what is kept has a gate for every key channel",
                .make = [](const MemoryContext& context) { return std::make_shared<Gla>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
