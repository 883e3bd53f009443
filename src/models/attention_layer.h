// Multi-head causal attention as a sequence mixer, full or over a window; a window never drops persistent tokens.
// Projections: attention_projection.h.
//
// State per row: convolution tail [K−1, (H + 2 H_kv) D], window or cache keys and values [H_kv, S, D]; where a document
// started inside a row, or a token was padding, which of those keys may be seen, bool [S].
#pragma once

#include "models/attention_projection.h"

namespace mneme {

class AttentionLayer : public AttentionProjection {
 public:
  explicit AttentionLayer(const BlockContext& context);
  /// x [B,T,C] → [B,T,C]
  at::Tensor forward(const at::Tensor& x, State& state, const ForwardContext& context);
  void reset(State& state, const at::Tensor& rows) const;

 private:
  at::Tensor rotary(const at::Tensor& x, const State& state);
  void remember(const nn::KeyValue& own, const nn::KeyValue& past, State& state) const;

  int64_t window_;  // 0 = full
};

}  // namespace mneme
