// A long-term memory as a sequence mixer: everything around the memory itself.
//
//   q, k, v = SiLU(conv(x W_qkv));   q, k to unit length per head
//   gates     [s, a, e] = gate_scale · ([x_t, x_{t−1}] W_g) + bias
//             θ = θ_max σ(s),  α = σ(a),  η = σ(e),  damping: θ ← (1 − η) θ        per token, head and memory layer
//   y = (RMSNorm_head(memory(q, k, v, θ, α, η)) ⊙ SiLU(x W_z)) W_o
//
// With memory.off the memory stays at its initial weights: same parameters, nothing written, no memory state.
// State per row: convolution tail, gate tail (x_{t−1}'s share of the logits), the memory's own.
#pragma once

#include "mneme/model.h"

namespace mneme {

class MemoryLayer : public torch::nn::Module {
 public:
  explicit MemoryLayer(const BlockContext& context);
  /// x [B,T,C] → [B,T,C]. Adds the write penalty mean(θ)/θ_max · write_penalty to the context.
  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context);
  /// The flagged rows (bool [B]) start again, persistent tokens written.
  void reset(State& state, const at::Tensor& rows);

  /// Makes a fresh state explicit, persistent tokens written; does nothing to another one, or where nothing is ever written.
  void begin(State& state, int64_t rows);
  /// Reading without writing, in two steps: queries [B,H,T,D] of x, with their convolution's tail, and what the weights of
  /// `readable` say to them, through the layer's output gate and projection → [B,T,C].
  at::Tensor queries(const at::Tensor& x, at::Tensor& tail) const;
  at::Tensor retrieve(const at::Tensor& queries, const at::Tensor& x, State& readable);
  State readable(State& state) const { return state.has_child("memory") ? memory_->readable(state.child("memory")) : State(); }
  bool writes() const;
  /// Tokens after which the state's clocks mean the same again; 0 = never.
  int64_t period() const;

 private:
  struct Gates {
    at::Tensor theta, alpha, eta;  // [B,H,T,G]
  };
  at::Tensor run(const at::Tensor& x, State& state, ForwardContext* context);
  at::Tensor output(const at::Tensor& reads, const at::Tensor& x) const;
  Gates gates(const at::Tensor& x, State& state, ForwardContext* context) const;
  void measure(const Gates& gates, ForwardContext& context) const;

  ModelOptions model_;
  MemoryOptions options_;
  int64_t layer_, heads_, head_width_, gate_layers_;
  std::shared_ptr<Memory> memory_;
  at::Tensor qkv_;         // [3 H D, C]
  at::Tensor taps_;        // [K, 3 H D]
  at::Tensor gate_;        // [3 H G, 2 C]: rows θ, α, η; columns x_t, x_{t−1}
  at::Tensor persistent_;  // [P, C], written once before token 0
  at::Tensor norm_;        // [D]
  at::Tensor out_gate_;    // [H D, C]
  at::Tensor out_;         // [C, H D]
};

}  // namespace mneme
