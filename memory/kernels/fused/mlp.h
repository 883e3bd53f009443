// The two-layer MLP memory as one fused CPU kernel, fp32: a task per batch row and head whose tiles stay in cache.
//
//   M(k) = k + a(k) W_2,     a(k) = s/‖s‖,  s = gelu(k W_1)       loss ‖M(k) − v‖²
//
// Same mathematics as memory/kernels/mlp.h in `feature` form: gradients at the refresh point, or exact_last (features of the
// refresh point's W_1, the last layer exact at each token's own W_2); with `clip`, error rows of the lower layer are cut to length 1.
// Differentiable once with respect to every tensor: the backward pass is written by hand, keeps only weights and momentum at
// tile ends (2 P / 64 numbers per token with P weights) and recomputes inside a tile. A row's bits depend on that row alone.
//
// Shapes: [B,H,T,D] or [N,T,D] for q, k, v (any strides with contiguous columns cost no copy); N = B·H; E hidden width.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace mneme::memory::fused {

struct MlpCall {
  at::Tensor query, key, value;                 ///< [B,H,T,D] or [N,T,D]
  std::array<at::Tensor, 2> theta, alpha, eta;  ///< as query without D, per layer; eta undefined = no momentum
  std::array<at::Tensor, 2> initial;            ///< [N,D,E], [N,E,D]: forgetting leads here; undefined = towards zero
  bool exact_last = true;
  bool clip = true;
  int64_t refresh = 64;
  int64_t position = 0;  ///< tokens read before this call
};

struct MlpState {
  std::array<at::Tensor, 2> weights;        ///< [N,D,E], [N,E,D]
  std::array<at::Tensor, 2> momentum;       ///< undefined without momentum
  std::array<at::Tensor, 2> refresh_point;  ///< may be undefined where position is one; the second is undefined with exact_last
};

/// fp32 on the CPU, T > 0: what the kernel takes.
bool supports(const MlpCall& call, const MlpState& state);

/// Reads, shaped like query; `state` moves T tokens on. Throws ConfigError for shapes that do not fit each other.
at::Tensor mlp(const MlpCall& call, MlpState& state);

}  // namespace mneme::memory::fused
