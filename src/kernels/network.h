// A memory network as one fused CPU kernel, fp32: a task per batch row and head whose tiles stay in cache.
//
//   linear          M(k) = k W
//   feature         M(k) = k + a(k) W_2,     a(k) = s/‖s‖,  s = gelu(k W_1)
//   residual_norm   M(k) = k + LN(gelu(k W_1) W_2) ⊙ (1 + γ), LayerNorm without bias, eps 1e-5; γ slow, or a fast weight
//
// Same mathematics as the kernels of src/memory, loss ‖M(k) − v‖². Gradients at the refresh point; of `linear` also exact (the delta rule
// with momentum and forgetting), of `feature` exact_last (features of the refresh point's W_1, the last layer exact at each token's own
// W_2), after it any number of sweeps (each token's features through its own W_1, as the errors of the sweep before leave it, then the
// last layer again), and with `clip` its error rows of the lower layer are cut to length 1. Gradients of two layers at the refresh point
// may be guarded (memory/guard.h).
// Differentiable once with respect to every tensor: the backward pass is written by hand, keeps only weights and momentum at
// tile ends (2 P / 64 numbers per token with P weights) and recomputes inside a tile. A row's bits depend on that row alone.
//
// Shapes: B rows, H heads, T tokens, K key width, V value width (K but for `linear`), E hidden width, L fast weights: one matrix, or two
// and, where it is fast, the gain.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "kernels/sizes.h"

namespace mneme::kernels {

struct NetworkCall {
  at::Tensor query, key;                 ///< [B,H,T,K], any strides; contiguous columns cost no copy
  at::Tensor value;                      ///< [B,H,T,V], likewise
  at::Tensor theta, alpha, eta = {};     ///< [B,H,T,L]; eta undefined = no momentum
  std::vector<at::Tensor> initial = {};  ///< as the weights: forgetting leads here; empty = towards zero. Not of `linear`
  at::Tensor gain = {};                  ///< [B,H,1,V] slow gain of residual_norm; undefined = none, or fast
  Form form = Form::feature;
  bool exact_last = true;  ///< of `linear` (exact: refresh is not read) and `feature`
  bool clip = true;        ///< of `feature`
  int64_t refresh = 64;    ///< tokens that share a gradient point
  int64_t position = 0;    ///< tokens read before this call
  double factor = 2;       ///< c of ∇‖e‖² = c e; 2/V for the mean over features
  int64_t sweeps = 0;      ///< of `feature`, after exact_last; a call is then of whole refresh intervals of at most kTileTokens
  double guard_limit = 0;  ///< of two layers and gradients at the refresh point, calls likewise; 0: no guard
};

/// By fast weight: [B,H,K,V]; or [B,H,K,E], [B,H,E,V] and the gain [B,H,1,V].
struct NetworkState {
  std::vector<at::Tensor> weights;
  std::vector<at::Tensor> momentum = {};       ///< empty without momentum
  std::vector<at::Tensor> refresh_point = {};  ///< with exact_last of all but the last matrix; may be empty where position is one
};

/// fp32 on the CPU, T > 0: what is worth the kernel.
bool supports(const NetworkCall& call, const NetworkState& state);

/// Reads [B,H,T,V]; `state` moves T ≥ 0 tokens on. Throws ConfigError for shapes that do not fit each other.
at::Tensor network(const NetworkCall& call, NetworkState& state);

}  // namespace mneme::kernels
