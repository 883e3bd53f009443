// The linear memory M(k) = k W as one fused CPU kernel, fp32: a task per batch row and head whose tiles stay in cache.
//
//   loss ‖k W − v‖²; gradients exact (refresh 1: the delta rule with momentum and forgetting) or at the refresh point's weights
//
// Same mathematics as memory/linear_chunked.h; properties as in mlp.h. Retention towards initial weights is the caller's
// (the same rule for W − W_init and v − k W_init).
//
// Shapes: [B,H,T,·] or [N,T,·], any strides with contiguous columns; N = B·H; E key width, D value width.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::kernels {

struct LinearCall {
  at::Tensor query, key;         ///< [B,H,T,E] or [N,T,E]
  at::Tensor value;              ///< [B,H,T,D] or [N,T,D]
  at::Tensor theta, alpha, eta;  ///< as value without D; eta undefined = no momentum
  int64_t refresh = 1;           ///< tokens that share a gradient point; 1 = exact
  int64_t position = 0;          ///< tokens read before this call
  double factor = 2;             ///< c of ∇‖e‖² = c e; 2/D for the mean over features
};

struct LinearState {
  at::Tensor weights;        ///< [N,E,D]
  at::Tensor momentum;       ///< [N,E,D]; undefined without momentum
  at::Tensor refresh_point;  ///< [N,E,D]; undefined for refresh 1, may be where position is a refresh point
};

/// fp32 on the CPU, T > 0: what is worth the kernel.
bool supports(const LinearCall& call, const LinearState& state);

/// Reads, shaped like value; `state` moves T ≥ 0 tokens on. Throws ConfigError for shapes that do not fit each other.
at::Tensor linear(const LinearCall& call, LinearState& state);

}  // namespace mneme::kernels
