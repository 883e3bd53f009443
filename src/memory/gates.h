// The gates that a memory asks for (Gate, mneme/memory.h), made of the layer's input.
//
//   z = gate_scale · ([x_t, x_{t−1}] W_g) + bias,  then the gate's activation          per token, head and number of the gate
//
// With memory.group = g > 1 a pooled gate of a group comes from the mean of its tokens' logits, or an attention pooling over them (weights
// e^w, w = 8 tanh(x W_p / 8)); it stands at the group's last token. With gates shared by heads, one for all. With n keys per token each
// of a token's n steps has gates of its own. A gate named in memory.fixed_gates has no W_g: z = bias, for all tokens. Adds
// write_penalty · mean(gate)/scale of the gates that write to the context.
// State per row: the share of x_{t−1} in the logits, and the running sums of an unfinished group.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {

/// What a memory was asked to do, for a probe: mean and largest of each gate.
void measure_gates(const std::vector<Gate>& gates, const MemoryInput& input, Probe& probe);

/// memory.fixed_gates names it.
bool is_fixed(const MemoryOptions& options, const Gate& gate);
/// memory.fixed_gates names gates that there are: a problem for each that the memory does not ask for.
void check_fixed_gates(const MemoryOptions& options, const std::vector<Gate>& gates, Problems& problems);

class MemoryGates : public Module {
 public:
  MemoryGates(const BlockContext& context, std::vector<Gate> gates, int64_t key_width, int64_t value_width);

  /// x [B,T,C]; step bool [B,T], undefined = all true → [B,H,T·n,·] by name: n = memory.keys_per_token steps a token.
  std::map<std::string, at::Tensor> forward(const at::Tensor& x, const at::Tensor& step, State& state, ForwardContext* context);

 private:
  struct Made {
    Gate gate;
    int64_t width;  // numbers per token, step and own head
    int64_t rows;   // of its logits
    bool fixed;
  };
  at::Tensor with_previous(const at::Tensor& x, const at::Tensor& weights, const std::string& tail, State& state) const;
  at::Tensor pooled(const at::Tensor& x, const at::Tensor& logits, const at::Tensor& step, State& state) const;
  at::Tensor activated(const Made& made, const at::Tensor& logits) const;

  MemoryOptions options_;
  int64_t heads_, own_heads_, steps_;  // own_heads: 1 where heads share gates
  std::vector<Made> made_;             // those in the shared matrix first: not pooled, pooled; last the fixed ones
  size_t shared_ = 0, first_pooled_ = 0;
  at::Tensor weights_;                 // [rows, 2 C] of the shared ones; columns x_t, x_{t−1}
  at::Tensor pool_;                    // [rows of the pooled, C], of attention pooling
  std::map<std::string, at::Tensor> own_, up_, rate_;  // of the others: [rows or rank, C or 2 C], [rows, rank]; ln A [own heads]
};

}  // namespace mneme
