// The linear memory M(k) = k W with the loss ‖k W − v‖² over T tokens in one call, in tiles of matrix products: exact gradients by
// a triangular solve per tile, all tiles at once (docs/maths.md). Stale gradients, other losses, guard and clip: mlp.h with a network of depth 1,
// whose loop over tokens (mlp_reference) is the definition of both.
//
// Shapes: N = batch rows × heads, T tokens, E key width, D value width.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

struct LinearCall {
  at::Tensor query, key;         ///< [N,T,E]
  at::Tensor value;              ///< [N,T,D]
  at::Tensor theta, alpha, eta;  ///< [N,T]; eta undefined = no momentum at all
  at::Tensor step = {};          ///< [N,T] 1, or 0 where a token is no step; undefined = all 1
  int64_t tile = 64;             ///< never changes results
  int64_t group = 1;             ///< tokens of one step (mlp.h)
  bool read_before = false;      ///< reads see M_{t−1}
  bool decayed = false;          ///< exact gradients at (1 − α_t) M_{t−1}
  double factor = 2;             ///< c of ∇‖e‖² = c e
};

struct LinearWeights {
  at::Tensor weights;   ///< [N,E,D]
  at::Tensor momentum;  ///< [N,E,D]; undefined without momentum
};

/// Reads [N,T,D]; `state` moves T ≥ 0 tokens on.
at::Tensor linear_chunked(const LinearCall& call, LinearWeights& state);

}  // namespace mneme::memory
