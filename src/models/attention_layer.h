// Multi-head attention as a sequence mixer: projection, optional short convolution, rotary phase, softmax, output.
//
//   q, k, v = conv(x W_qkv)        y = attention([persistent ‖ k], [persistent ‖ v], q) W_o
//
// Grouped-query heads: kv_heads divides heads. Persistent tokens are learned inputs of this layer; their keys carry no
// rotary phase and no convolution, every query sees them, a window never drops them.
// State per row: convolution tail [K−1, (H + 2 H_kv) D], window or cache keys and values [H_kv, S, D].
#pragma once

#include "mneme/model.h"
#include "nn/attention.h"
#include "nn/rope.h"

namespace mneme {

class AttentionLayer : public torch::nn::Module {
 public:
  explicit AttentionLayer(const BlockContext& context);
  /// x [B,T,C] → [B,T,C]
  at::Tensor forward(const at::Tensor& x, State& state);

 private:
  nn::KeyValue persistent(int64_t batch) const;
  at::Tensor grouped(const at::Tensor& key_or_value) const;
  void remember(const nn::KeyValue& own, const nn::KeyValue& past, State& state) const;

  ModelOptions options_;
  int64_t heads_, kv_heads_, head_width_, window_;  // window 0 = full
  nn::RotaryTable rotary_;
  at::Tensor qkv_;         // [(H + 2 H_kv) D, C]
  at::Tensor taps_;        // [K, (H + 2 H_kv) D]
  at::Tensor persistent_;  // [P, C]
  at::Tensor out_;         // [C, H D]
};

}  // namespace mneme
