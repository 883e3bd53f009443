// Preconditioned Gated DeltaNet (arXiv 2604.21100): writes go along a key whose much used channels are made shorter.
//
//   A_t = a'_t A_{t−1} + β'_t k_t²;   r = log(A_t + 1e−6) − c;   k̃_t = k_t ⊙ 1.5^(−r / (1 + |r|))
//   S_t = a_t S_{t−1} + β_t k̃_t (v_t − a_t S_{t−1}ᵀ k_t)ᵀ
//
// c is learned per head, from −0.2. State per row besides the matrix: preconditioner A [H,K], from zero.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class PrecondGdn : public memory::RecurrentMemory {
 public:
  explicit PrecondGdn(const MemoryContext& context) : RecurrentMemory(context) {
    centre_ = parameter("centre", at::full({heads_, 1, 1}, -.2, at::kFloat), Role::memory_start);
  }
  std::vector<Gate> gates() const override {
    const Gate decay{.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay,
                     .bias = options_.alpha_bias, .previous = false};
    Gate own_decay = decay;
    own_decay.name = "own_decay", own_decay.help = "logarithm of what the preconditioner keeps";
    return {{.name = "beta", .help = "how much of a key's value is replaced", .bias = options_.theta_bias, .writes = true},
            {.name = "own_step", .help = "how much of a squared key goes to the preconditioner", .bias = options_.theta_bias},
            decay, own_decay};
  }

 private:
  std::string equation() const override { return "A = a' A + β' k²;  k̃ = k ⊙ 1.5^(−r / (1 + |r|)),  r = log A − c;  S = a S;  S = S + β k̃ (v − Sᵀ k)ᵀ"; }
  Terms terms(const MemoryInput& in, State& state) const override {
    const at::Tensor &beta = in.gate("beta"), &decay = in.gate("decay");
    const at::Tensor r = (moved(in, state.tensor("preconditioner")) + 1e-6).log() - centre_;
    return {.query = in.query, .write_key = in.key * (-std::log(1.5) * r / (1 + r.abs())).exp(), .write_value = beta * in.value,
            .log_decay = decay, .erase = decay.exp() * beta * in.key};
  }
  void start_own(State& state, int64_t rows) const override {
    state.tensor("preconditioner") = at::zeros({rows, heads_, key_width_}, state.tensor("weights").options());
  }

  // A after every token, [B,H,T,K]: a recurrence with one key channel, the matrix a row.
  at::Tensor moved(const MemoryInput& in, at::Tensor& A) const {
    at::Tensor decay = in.gate("own_decay"), square = in.gate("own_step") * in.key.square();
    if (in.step.defined()) {
      const at::Tensor none = ~in.step.unsqueeze(1).unsqueeze(3);
      decay = decay.masked_fill(none, 0), square = square.masked_fill(none, 0);
    }
    const at::Tensor one = at::ones_like(decay);
    memory::LinearRecurrence call{one, one, square, decay};
    call.tile = options_.tile;
    at::Tensor row = A.unsqueeze(2);
    const at::Tensor all = memory::linear_recurrence(call, row, options_.kernel);
    A = row.squeeze(2);
    return all;
  }

  at::Tensor centre_;  // c: [H,1,1]
};

}  // namespace

void register_memory_precond_gdn(MemoryRegistry& registry) {
  registry.add({.name = "precond_gdn",
                .summary = "preconditioned Gated DeltaNet: much used key channels are written less",
                .make = [](const MemoryContext& context) { return std::make_shared<PrecondGdn>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
