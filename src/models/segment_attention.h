// Attention of MAC (Titans, section 4.1): softmax in [persistent ‖ h ‖ segment], strictly causal.
//
// A row is cut into segments of model.mac.segment tokens, counted from its document's start. Token i of a segment sees the
// persistent tokens, and of its own segment the tokens x_j and what was retrieved for them, h_j, for j ≤ i. h_j carries the
// rotary phase of x_j; phases count from the segment's start. As printed, without j ≤ i on h, h would tell a token of the
// rest of its segment.
//
// State per row: convolution tail, keys and values of the running segment [H_kv, L·c, D] (c = 2 with retrieved, else 1;
// zeros behind the running token, so that the size does not depend on it); with padding, which tokens are hidden, bool [L].
#pragma once

#include "models/attention_projection.h"

namespace mneme {

class SegmentAttention : public AttentionProjection {
 public:
  SegmentAttention(const BlockContext& context, int64_t segment);

  /// x [B,T,C] of a whole call; `phase`: tokens of the running segment before it.
  Projected project(const at::Tensor& x, int64_t phase, State& state, const ForwardContext& context);

  /// Tokens of one segment, n of them, or of whole segments (phase 0, n a multiple of L), which then run as one batch.
  /// retrieved [B,n,C] or undefined → [B,n,C].
  at::Tensor forward(const Projected& tokens, const at::Tensor& retrieved, int64_t phase, State& state);

  static void reset(State& state, const at::Tensor& rows) { clear(state, rows); }

 private:
  at::Tensor rotary(int64_t phase, int64_t steps, const at::TensorOptions& options);
  /// Keys and values of tokens, and of what was retrieved for them, one after the other.
  nn::KeyValue paired(const nn::KeyValue& own, const nn::KeyValue& retrieved) const;
  at::Tensor whole_segments(const Projected& tokens, const nn::KeyValue& pairs, int64_t each);
  void remember(const nn::KeyValue& seen, int64_t tokens, int64_t each, State& state) const;

  int64_t segment_;
};

}  // namespace mneme
