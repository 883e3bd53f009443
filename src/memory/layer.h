// A long-term memory as a sequence mixer: everything around the memory itself.
//
//   q, k, v = SiLU(conv(x W_qkv));   q, k per head to unit length, or length √D with a learned gain (memory.qk_norm)
//   gates: what the memory asks for (memory/gates.h)
//   y = (RMSNorm_head(memory(q, k, v, gates)) ⊙ SiLU(x W_z)) W_o
//
// memory.keys_per_token = n: a token has n keys and values and is n steps of the memory; its query reads after the last (before the
// first with memory.read = before). With memory.off the memory stays at its initial weights: same parameters, nothing written, no
// memory state; memory.frozen does so in evaluation only.
// memory.cache = w: the read of an exact cache of the w largest writes is added to the memory's (memory/surprise_cache.h).
// memory.step_cap = r: the gates that write are bounded by what is forgotten (memory/step_cap.h).
// State per row: convolution tail, the gates' own, the memory's own, the cache.
#pragma once

#include "mneme/model.h"
#include "memory/gates.h"
#include "memory/surprise_cache.h"

namespace mneme {

/// Whether the layer has a memory: model.memory_layers names it, or is empty.
bool has_memory(const BlockContext& context);

class MemoryLayer : public Module {
 public:
  explicit MemoryLayer(const BlockContext& context);
  /// x [B,T,C] → [B,T,C]. Adds the write penalty to the context.
  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context);
  /// The flagged rows (bool [B]) start again, persistent tokens written.
  void reset(State& state, const at::Tensor& rows);

  /// Makes a fresh state explicit, persistent tokens written (and in the convolution's tail); does nothing to another one.
  void begin(State& state, int64_t rows);
  /// Reading without writing, in two steps: queries [B,H,T,K] of x, with their convolution's tail, and what the weights of
  /// `readable` say to them, through the layer's output gate and projection → [B,T,C].
  at::Tensor queries(const at::Tensor& x, at::Tensor& tail) const;
  at::Tensor retrieve(const at::Tensor& queries, const at::Tensor& x, State& readable);
  State readable(State& state) const;
  bool writes() const;
  /// Tokens after which the state's clocks mean the same again; 0 = never.
  int64_t period() const;

 private:
  at::Tensor run(const at::Tensor& x, State& state, ForwardContext* context);
  at::Tensor output(const at::Tensor& reads, const at::Tensor& x) const;
  at::Tensor cached(const MemoryInput& input, const at::Tensor& losses, State& state) const;
  at::Tensor normalized(const at::Tensor& heads, const at::Tensor& gain) const;

  ModelOptions model_;
  MemoryOptions options_;
  int64_t layer_, heads_, head_width_, value_width_, pairs_;  // pairs: keys_per_token
  std::shared_ptr<Memory> memory_;
  std::shared_ptr<MemoryGates> gates_;
  std::shared_ptr<SurpriseCache> cache_;  // null = none
  at::Tensor qkv_;         // [(1 + n) H K + n H V, C]
  at::Tensor taps_;        // [taps, the same]
  at::Tensor query_gain_, key_gain_;  // [H,1,K] of qk_norm = rms
  at::Tensor persistent_;  // [P, C], written once before token 0
  at::Tensor norm_;        // [V]
  at::Tensor out_gate_;    // [H V, C]
  at::Tensor out_;         // [C, H V]
};

}  // namespace mneme
