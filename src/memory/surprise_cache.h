// An exact cache beside a memory, filled by the memory's own surprise (HOLA; Cui, arXiv 2607.02303): the w pairs whose writes were largest.
//
//   p_t = b_t √l_t                 b: the memory's write gate, the mean of its numbers; l: its inner loss of the token, so √l = ‖e‖ of ‖e‖²
//   C_t = the w tokens of largest p among all tokens i ≤ t of the sequence (i < t with memory.read = before); of equal ones the older
//   y_t = σ(g) Σ_{i∈C_t} softmax_i(⟨γ ⊙ rms(q_t), rms(k_i)⟩ / √K) v_i          rms(x) = x / √(mean x² + 1e-6)
//
// γ per head and channel, from 1; g per head, from −4. y is added to the memory's read; before the first pair it is 0. Which tokens are kept
// is no function that has a gradient; what they hold has. Blocks of tokens at once: a token's rank among those before it is a count, so
// that no loop over tokens decides; results do not depend on the block.
// State per row and head: keys rms(k) [w,K], values [w,V], priority [w], oldest first, −1 where there is none yet.
#pragma once

#include "mneme/memory.h"

namespace mneme {

class SurpriseCache : public Module {
 public:
  SurpriseCache(int64_t pairs, bool read_before, int64_t heads, int64_t key_width, int64_t value_width);

  /// Reads [B,H,T,V]; the state moves T ≥ 0 tokens on. priority p [B,H,T]; a token with input.step false is not kept.
  at::Tensor forward(const MemoryInput& input, const at::Tensor& priority, State& state) const;
  /// Reads [B,H,T,V] of what the state holds; 0 of a fresh one.
  at::Tensor read(const at::Tensor& query, const State& state) const;
  void start(State& state, int64_t rows) const;

  /// p of a call whose losses were taken.
  static at::Tensor priority_of(const std::vector<Gate>& gates, const MemoryInput& input, const at::Tensor& losses);
  /// σ(g) [H]
  at::Tensor share() const;

 private:
  at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& visible) const;
  at::Tensor scaled(const at::Tensor& query) const;

  int64_t pairs_, heads_, key_width_, value_width_;
  bool read_before_;
  at::Tensor scale_;  // γ [H,K]
  at::Tensor gate_;   // g [H]
};

}  // namespace mneme
