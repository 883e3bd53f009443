// Attention as a fused CPU kernel, fp32: causal softmax attention, scaled by 1/√D, in which query t sees the prefix and the `window`
// latest keys, or all. Cost O(T·window), memory O(T): scores live in cache, the backward pass computes them again.
//
// Differentiable once; rows and heads are independent of each other bit for bit. Shapes: query [B,H,T,D]; key, value [B,H,S,D],
// S ≥ T, of which the last T are the queries' own; prefix [B,H,P,D], P ≥ 0. Where D is a multiple of 16, any strides with contiguous
// columns will do; other widths are padded.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::kernels {

struct AttentionCall {
  at::Tensor query, key, value;
  at::Tensor prefix_key, prefix_value;  ///< undefined: none
  int64_t window = 0;  ///< 0: full attention
};

/// fp32 on the CPU, not empty.
bool supports_attention(const at::Tensor& query);

/// → [B,H,T,D], which lies in memory token by token, as projections read it. ConfigError where sizes do not fit.
at::Tensor attention(const AttentionCall& call);

}  // namespace mneme::kernels
