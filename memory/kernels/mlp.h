// The two-layer MLP memory in `feature` form as one call over T tokens, in two forms with the same results.
//
//   M(k) = k + a(k) W_2,     a(k) = s/‖s‖,  s = gelu(k W_1)              the target of the last layer is v − k
//
// Gradients: `refresh` takes both layers' at the refresh point's weights; `exact_last` takes the features a at the
// refresh point's W_1, the last layer exactly at each token's own W_2, and sends the error back through that W_2
// (docs/maths.md, exact-last mode). The lower layer's error rows are clipped to length 1.
//
// Shapes: N = batch rows × heads, T tokens, D head width, E hidden width.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace mneme::memory {

struct MlpCall {
  at::Tensor query, key, value;                 ///< [N,T,D]
  std::array<at::Tensor, 2> theta, alpha, eta;  ///< [N,T] per layer; eta undefined = no momentum
  std::array<at::Tensor, 2> initial;            ///< [N,D,E], [N,E,D]: forgetting leads here; undefined = towards zero
  bool exact_last = true;
  int64_t refresh = 64;
  int64_t position = 0;
  int64_t tile = 64;
};

struct MlpWeights {
  std::array<at::Tensor, 2> weights;        ///< [N,D,E], [N,E,D]
  std::array<at::Tensor, 2> momentum;       ///< undefined without momentum
  std::array<at::Tensor, 2> refresh_point;  ///< the second is undefined with exact_last
};

/// Reads [N,T,D]; `state` moves T tokens on.
at::Tensor mlp_reference(const MlpCall& call, MlpWeights& state);
at::Tensor mlp_chunked(const MlpCall& call, MlpWeights& state);

/// Features of hidden pre-activations and the way back through them.
struct Features {
  at::Tensor pre, inverse_norm, unit;  // h, 1/‖gelu(h)‖, a
};
Features mlp_features(const at::Tensor& pre);
/// J_φᵀ g at these features, clipped to length 1 per token.
at::Tensor mlp_feature_gradient(const Features& features, const at::Tensor& gradient);

}  // namespace mneme::memory
