// Gates of a memory: how much a token writes, how fast is forgotten, how long surprise lasts.
//
//   [s, a, e] = gate_scale · ([x_t, x_{t−1}] W_g) + bias
//   θ = theta_max σ(s),  α = σ(a),  η = σ(e),  damping: θ ← (1 − η) θ (of groups: in the memory)   per token, head, fast weight
//
// With memory.group = g > 1 a group's α and η come from the mean of its tokens' logits, or an attention pooling over them (weights
// e^w, w = 8 tanh(x W_p / 8)); they stand at the group's last token. With gates shared by heads or fast weights, one for all.
// State per row: the share of x_{t−1} in the logits, and the running sums of an unfinished group.
#pragma once

#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {

struct GateValues {
  at::Tensor theta, alpha, eta;  ///< [B,H,T·n,G]: n = memory.keys_per_token steps a token
};

/// What a memory was asked to do, for a probe.
void measure_gates(const MemoryInput& input, Probe& probe);

class MemoryGates : public torch::nn::Module {
 public:
  /// `layers`: gates per head of the memory, Memory::gate_layers().
  MemoryGates(const BlockContext& context, int64_t layers);

  /// x [B,T,C]; step bool [B,T], undefined = all true. Adds write_penalty · mean(θ)/θ_max to the context, where there is one.
  GateValues forward(const at::Tensor& x, const at::Tensor& step, State& state, ForwardContext* context);

 private:
  at::Tensor logits(const at::Tensor& x, State& state) const;
  at::Tensor pooled(const at::Tensor& x, const at::Tensor& logits, const at::Tensor& step, State& state) const;

  MemoryOptions options_;
  int64_t heads_, layers_, own_heads_, steps_;  // own_heads: 1 where heads share gates
  at::Tensor weights_;  // [3 n H G, 2 C]: rows θ, α, η; columns x_t, x_{t−1}
  at::Tensor pool_;     // [2 n H G, C], of attention pooling
};

}  // namespace mneme
