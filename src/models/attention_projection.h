// What every kind of attention layer shares: projections, the short convolution, persistent tokens, grouped heads, output.
//
//   q, k, v = conv(x W_qkv)        y = attention([persistent ‖ k], [persistent ‖ v], q) W_o
//
// Grouped-query heads: kv_heads divides heads. Persistent tokens are learned inputs of this layer; their keys carry no
// rotary phase and no convolution, every query sees them.
#pragma once

#include "mneme/model.h"
#include "nn/attention.h"
#include "nn/rope.h"

namespace mneme {

class AttentionProjection : public Module {
 public:
  struct Projected {
    at::Tensor query;  ///< [B,H,T,D]
    nn::KeyValue own;  ///< [B,H_kv,T,D]
  };

 protected:
  explicit AttentionProjection(const BlockContext& context);

  /// x [B,T,C]; rotary: rows of the table for these tokens, undefined = no phase.
  Projected project(const at::Tensor& x, const at::Tensor& rotary, State& state) const;
  /// Keys and values of further inputs [B,n,C], without convolution → [B,H_kv,n,D].
  nn::KeyValue keys_of(const at::Tensor& inputs, const at::Tensor& rotary) const;
  /// Those of the persistent tokens for all rows; none without them.
  nn::KeyValue persistent(int64_t rows) const;
  /// [B,H_kv,S,D] → [B,H,S,D]
  nn::KeyValue grouped(const nn::KeyValue& kv) const;
  /// Norms of the projections, for a pass with a probe.
  void measure(const ForwardContext& context) const;
  /// [B,H,T,D] → [B,T,C]
  at::Tensor output(const at::Tensor& y) const;
  /// The flagged rows forget their convolution's tail, keys and values.
  static void clear(State& state, const at::Tensor& rows);

  ModelOptions options_;
  int64_t layer_;
  int64_t heads_, kv_heads_, head_width_;
  nn::RotaryTable rotary_;
  at::Tensor qkv_;         // [(H + 2 H_kv) D, C]
  at::Tensor taps_;        // [K, (H + 2 H_kv) D]
  at::Tensor persistent_;  // [P, C]
  at::Tensor out_;         // [C, H D]
};

/// A rule of blocks that attend: rotary phase turns pairs of channels of a head.
void check_rotary_heads(const ModelOptions& model, const MemoryOptions& memory, Problems& problems);

}  // namespace mneme
