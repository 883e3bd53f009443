// A memory network (network.h) learning over T tokens in one call: four kernels with the same results.
//
//   fused         hand-written CPU kernel, fp32: one matrix, or two (src/kernels/network.h)
//   linear tiles  one matrix with exact gradients: tiles of tokens, all solved at once
//   chunked       tiles of tokens in dual form (docs/maths.md): no weights per token
//   reference     a loop over tokens, any dtype and device: the definition
//
// Gradients: `refresh` takes all layers' at the refresh point's weights; `exact_last` takes the features at the refresh point's
// lower weights, the last layer exactly at each token's own weights, and sends the error back through those; `sweeps` repeats
// that with each token's own lower weights, which converges to the exact recurrence. The loop over tokens knows only `refresh`
// and `exact_last`: what sweeps converge to is `refresh` 1. Sweep n of a token sees what sweep n − 1 made of the interval's earlier
// tokens, wherever tiles and calls are cut.
//
// A group of g tokens is one step: gradients before it, α and η of its last token, reads see completed groups only. A call starts
// at a group's first token, and writes completed groups only: the caller keeps the tokens of an unfinished one (memory/group.h).
//
// Shapes: B rows, H heads, T tokens, K key width, V value width, L fast weights: the matrices, a fast gain [B,H,1,V] after them. Rows and
// gates are as the layer makes them, weights as a State has them.
#pragma once

#include <vector>

#include "memory/kernel_table.h"
#include "memory/network.h"

namespace mneme::memory {

enum class Gradient { refresh, exact_last, sweeps };

struct NetworkCall {
  Network net;
  at::Tensor query, key;                      ///< [B,H,T,K], features applied
  at::Tensor value;                           ///< [B,H,T,V]
  at::Tensor theta, alpha, eta;               ///< [B,H,T,L]; eta undefined = no momentum
  std::vector<at::Tensor> initial;            ///< as the weights: forgetting leads here; empty = towards zero
  at::Tensor gain;                            ///< [B,H,1,V] slow gain of residual+norm; undefined = none, or fast
  at::Tensor step;                            ///< bool [B,T], false where a token is no step; undefined = all true
  Gradient gradient = Gradient::exact_last;
  int64_t sweeps = 1;
  int64_t refresh = 64;
  int64_t group = 1;                          ///< divides refresh
  int64_t position = 0;                       ///< tokens read before this call
  int64_t tile = 64;                          ///< of tiles; never changes results
  bool read_before = false;
  bool decayed = false;                       ///< last layer's gradient at (1 − α_t) M_{t−1}; of exact_last
  double clip = 0;                            ///< of refresh, ignored elsewhere: largest ‖u_t‖ over all layers
  bool guard = false;                         ///< of refresh, ignored elsewhere: guard.h
  bool losses = false;                        ///< also give the inner loss of each token

  bool momentum() const { return eta.defined(); }
  bool guarded() const { return guard && gradient == Gradient::refresh; }
  bool clipped() const { return clip > 0 && gradient == Gradient::refresh; }
  bool fast_gain() const { return theta.size(3) > net.depth; }
};

struct NetworkWeights {
  std::vector<at::Tensor> weights = {};        ///< [B,H,K,E] … [B,H,E,V], gain
  std::vector<at::Tensor> momentum = {};       ///< empty without momentum
  std::vector<at::Tensor> refresh_point = {};  ///< with exact_last and sweeps all but the last matrix
  std::vector<at::Tensor> load = {};           ///< of the guard, per matrix: what the interval has written so far, [B,H,·,·]
  /// With sweeps: weights and momentum of the running interval as each earlier sweep sees them.
  std::vector<std::vector<at::Tensor>> sweep_weights = {}, sweep_momentum = {};
  /// Steps the guard shortened in this call, a count over rows, tokens and matrices: taken steps only, a group's with its last
  /// token. Undefined without a guard, and by the fused kernel.
  at::Tensor firings = {};
  at::Tensor losses = {};                      ///< [B,H,T] each token's inner loss where its gradient is taken; with NetworkCall::losses
};

/// Reads [B,H,T,V]; `weights` moves T ≥ 0 tokens on. Which of them takes a call: network_kernels().
using NetworkRun = at::Tensor(const NetworkCall& call, NetworkWeights& weights);
/// Sweeps and the guard it takes for whole refresh intervals: what a call has before and after those runs in tiles.
NetworkRun network_fused;
NetworkRun network_linear;
NetworkRun network_chunked;
NetworkRun network_reference;

/// Why a kernel does not take such a call of a memory; empty where it does. Of `rule` only what is no tensor counts, and whether
/// forgetting leads to initial weights.
std::string why_not_fused(const NetworkCall& rule, const CallShape& call);
std::string why_not_linear(const NetworkCall& rule, const CallShape& call);
std::string why_not_reference(const NetworkCall& rule, const CallShape& call);

const KernelTable<NetworkCall, NetworkRun>& network_kernels();

/// At a refresh point: the weights are the point, the guard has seen nothing, and every sweep sees them as they are.
void begin_interval(const NetworkCall& rule, NetworkWeights& weights);

}  // namespace mneme::memory
