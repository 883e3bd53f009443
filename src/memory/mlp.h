// A memory network (network.h) learning over T tokens in one call, in two forms with the same results.
//
//   reference  a loop over tokens, any dtype and device: the definition
//   chunked    tiles of tokens in dual form (docs/maths.md): no weights per token
//
// Gradients: `refresh` takes all layers' at the refresh point's weights; `exact_last` takes the features at the refresh point's
// lower weights, the last layer exactly at each token's own weights, and sends the error back through those; `sweeps` repeats
// that with each token's own lower weights, which converges to the exact recurrence. The loop over tokens knows only `refresh`
// and `exact_last`: what sweeps converge to is `refresh` 1. Sweep n of a token sees what sweep n − 1 made of the interval's earlier
// tokens, wherever tiles and calls are cut.
//
// A group of g tokens is one step: gradients before it, α and η of its last token, reads see completed groups only. A call starts
// at a group's first token, and writes completed groups only: the caller keeps the tokens of an unfinished one (memory/pending.h).
//
// Shapes: N = batch rows × heads, T tokens, D head width; matrices [N,·,·], a fast gain [N,1,D] comes after them.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "memory/network.h"

namespace mneme::memory {

enum class Gradient { refresh, exact_last, sweeps };

struct MlpCall {
  Network net;
  at::Tensor query, key, value;               ///< [N,T,D]
  std::vector<at::Tensor> theta, alpha, eta;  ///< [N,T] per fast weight; eta empty = no momentum
  std::vector<at::Tensor> initial;            ///< forgetting leads here; empty = towards zero
  at::Tensor gain;                            ///< [N,1,D] slow gain of residual+norm; undefined = none, or fast
  at::Tensor step;                            ///< [N,T] 1, or 0 where a token is no step; undefined = all 1
  Gradient gradient = Gradient::exact_last;
  int64_t sweeps = 1;
  int64_t refresh = 64;
  int64_t group = 1;                          ///< divides refresh
  int64_t position = 0;                       ///< tokens read before this call
  int64_t tile = 64;                          ///< of the chunked form; never changes results
  bool read_before = false;
  bool decayed = false;                       ///< last layer's gradient at (1 − α_t) M_{t−1}; of exact_last
  double clip = 0;                            ///< of refresh, ignored elsewhere: largest ‖u_t‖ over all layers
  bool guard = false;                         ///< of refresh, ignored elsewhere: guard.h
  bool losses = false;                        ///< also give the inner loss of each token

  bool momentum() const { return !eta.empty(); }
  bool guarded() const { return guard && gradient == Gradient::refresh; }
  bool clipped() const { return clip > 0 && gradient == Gradient::refresh; }
  bool fast_gain() const { return int64_t(theta.size()) > net.depth; }
};

struct MlpWeights {
  std::vector<at::Tensor> weights = {};        ///< [N,D,E] … [N,E,D], gain
  std::vector<at::Tensor> momentum = {};       ///< empty without momentum
  std::vector<at::Tensor> refresh_point = {};  ///< with exact_last and sweeps all but the last matrix
  std::vector<at::Tensor> load = {};           ///< of the guard, per matrix: what the interval has written so far, [N,·,·]
  /// With sweeps: weights and momentum of the running interval as each earlier sweep sees them.
  std::vector<std::vector<at::Tensor>> sweep_weights = {}, sweep_momentum = {};
  /// Steps the guard shortened in this call, a count over rows, tokens and matrices: taken steps only, a group's with its last
  /// token. Undefined without a guard, and by the fused kernel.
  at::Tensor firings = {};
  at::Tensor losses = {};                      ///< [N,T] each token's inner loss where its gradient is taken; with MlpCall::losses
};

/// Reads [N,T,D]; `state` moves T ≥ 0 tokens on.
at::Tensor mlp_reference(const MlpCall& call, MlpWeights& state);
at::Tensor mlp_chunked(const MlpCall& call, MlpWeights& state);

/// At a refresh point, beside the point itself: the guard has seen nothing, and every sweep sees the weights as they are.
void begin_interval(MlpWeights& state);

/// What both do first: the measurements of this call, of nothing yet.
void begin_call(const MlpCall& call, MlpWeights& state);

}  // namespace mneme::memory
