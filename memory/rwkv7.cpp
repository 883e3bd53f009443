// RWKV-7 (Peng et al., arXiv 2503.14456): a decay and a step size for every key channel, and a removal key of its own.
//
//   S_t = diag(w_t) S_{t−1} − (â_t ⊙ k̂_t) (k̂_tᵀ S_{t−1}) + k̃_t v_tᵀ         k̂ = unit(k ⊙ ξ),   k̃ = k ⊙ (1 + (â − 1) ⊙ μ)
//   w = exp(−e^{−1/2} σ(x W_down W_up + bias)),   â = σ(x W_down W_up + bias)
//
// What is removed is read before the decay. ξ and μ are learned per head and channel; with μ = 1, where it starts, a step writes what its
// size is: k̃ = â ⊙ k.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/recurrent_memory.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

class Rwkv7 : public memory::RecurrentMemory {
 public:
  explicit Rwkv7(const MemoryContext& context) : RecurrentMemory(context) {
    removal_ = parameter("removal", at::ones({heads_, 1, key_width_}, at::kFloat), Role::memory_start);
    mix_ = parameter("mix", at::ones({heads_, 1, key_width_}, at::kFloat), Role::memory_start);
  }
  std::vector<Gate> gates() const override {
    return {{.name = "step", .help = "step size", .per = Gate::Per::key_channel, .bias = options_.theta_bias, .rank = 16, .previous = false,
             .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .per = Gate::Per::key_channel, .bias = options_.alpha_bias,
             .scale = -std::exp(-.5), .rank = 16, .previous = false}};
  }

 private:
  std::string equation() const override { return "S = diag(w) S − (â ⊙ k̂) (k̂ᵀ S) + k̃ vᵀ"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &step = in.gate("step"), removed = nn::l2_normalize(in.key * removal_);
    return {.query = in.query, .write_key = in.key * (1 + (step - 1) * mix_), .write_value = in.value, .log_decay = in.gate("decay"),
            .erase = removed, .along = step * removed};
  }

  at::Tensor removal_, mix_;  // ξ, μ: [H,1,K]
};

}  // namespace

void register_memory_rwkv7(MemoryRegistry& registry) {
  registry.add({.name = "rwkv7",
                .summary = "RWKV-7: decay and step size for every key channel, a removal key of its own",
                .make = [](const MemoryContext& context) { return std::make_shared<Rwkv7>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
