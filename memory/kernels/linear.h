// The linear memory M(k) = k W as one call over T tokens, in two forms with the same results.
//
//   reference  a loop over tokens, any dtype and device: the definition
//   chunked    tiles of tokens, matrix products; exact gradients by a triangular solve per tile (docs/maths.md)
//
// Shapes: N = batch rows × heads, T tokens, E key width, D value width.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

struct LinearCall {
  at::Tensor query, key;         ///< [N,T,E]
  at::Tensor value;              ///< [N,T,D]
  at::Tensor theta, alpha, eta;  ///< [N,T]; eta undefined = no momentum at all
  int64_t refresh = 1;           ///< tokens that share a gradient point; 1 = exact
  int64_t position = 0;          ///< tokens read before this call
  int64_t tile = 64;             ///< of the chunked form; never changes results
};

struct LinearWeights {
  at::Tensor weights;        ///< [N,E,D]
  at::Tensor momentum;       ///< [N,E,D]; undefined without momentum
  at::Tensor refresh_point;  ///< [N,E,D] weights at the last refresh point; undefined for refresh 1
};

/// Reads [N,T,D]; `state` moves T tokens on.
at::Tensor linear_reference(const LinearCall& call, LinearWeights& state);
at::Tensor linear_chunked(const LinearCall& call, LinearWeights& state);

}  // namespace mneme::memory
