// The two-layer MLP memory as one fused CPU kernel, fp32: a task per batch row and head whose tiles stay in cache.
//
//   feature         M(k) = k + a(k) W_2,     a(k) = s/‖s‖,  s = gelu(k W_1)
//   residual_norm   M(k) = k + LN(gelu(k W_1) W_2) ⊙ (1 + γ), LayerNorm without bias, eps 1e-5; γ slow or a fast weight
//
// Same mathematics as memory/mlp.h, loss ‖M(k) − v‖². Gradients at the refresh point; of `feature` also exact_last
// (features of the refresh point's W_1, the last layer exact at each token's own W_2), after it any number of sweeps (each token's
// features through its own W_1, as the errors of the sweep before leave it, then the last layer again), and with `clip` its error rows
// of the lower layer are cut to length 1. Gradients at the refresh point may be guarded (memory/guard.h).
// Differentiable once with respect to every tensor: the backward pass is written by hand, keeps only weights and momentum at
// tile ends (2 P / 64 numbers per token with P weights) and recomputes inside a tile. A row's bits depend on that row alone.
//
// Shapes: [B,H,T,D] or [N,T,D] for q, k, v (any strides with contiguous columns cost no copy); N = B·H; E hidden width. Arrays
// hold both matrices and, where it is fast, the gain.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "kernels/sizes.h"

namespace mneme::kernels {

enum class Form { feature, residual_norm };

struct MlpCall {
  at::Tensor query, key, value;                 ///< [B,H,T,D] or [N,T,D]
  std::array<at::Tensor, 3> theta, alpha, eta;  ///< as query without D; eta undefined = no momentum; third: the gain is fast
  std::array<at::Tensor, 3> initial;            ///< [N,D,E], [N,E,D], [N,1,D]: forgetting leads here; undefined = towards zero
  bool exact_last = true;                       ///< of feature
  bool clip = true;                             ///< of feature
  int64_t refresh = 64;
  int64_t position = 0;  ///< tokens read before this call
  Form form = Form::feature;
  at::Tensor gain = {};  ///< [N,1,D] slow gain of residual_norm; undefined = 0
  double factor = 2;       ///< c of ∇‖e‖² = c e; 2/D for the mean over features
  int64_t sweeps = 0;      ///< of feature, after exact_last
  double guard_limit = 0;  ///< of gradients at the refresh point; 0: no guard

  /// Then a call is of whole refresh intervals of at most kTileTokens.
  bool whole_intervals() const { return sweeps > 0 || guard_limit > 0; }
};

struct MlpState {
  std::array<at::Tensor, 3> weights;        ///< [N,D,E], [N,E,D], [N,1,D]
  std::array<at::Tensor, 3> momentum;       ///< undefined without momentum
  std::array<at::Tensor, 3> refresh_point;  ///< may be undefined where position is one; the second is undefined with exact_last
};

/// fp32 on the CPU, T > 0: what is worth the kernel.
bool supports(const MlpCall& call, const MlpState& state);

/// Reads, shaped like query; `state` moves T ≥ 0 tokens on. Throws ConfigError for shapes that do not fit each other.
at::Tensor mlp(const MlpCall& call, MlpState& state);

}  // namespace mneme::kernels
