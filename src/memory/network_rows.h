// A call of a memory network and its weights as batched products want them: one row dimension N = B · H, flattened once per call. What
// the kernels made of tensor operations share.
#pragma once

#include "memory/network_kernels.h"

namespace mneme::memory {

struct NetworkRows {
  at::Tensor query, key, value;               ///< [N,T,·]
  std::vector<at::Tensor> theta, alpha, eta;  ///< [N,T] by fast weight; eta empty without momentum
  at::Tensor step;                            ///< [N,T] 1, or 0 where a token is no step; undefined = all 1
  std::vector<at::Tensor> initial;            ///< [N,·,·]
  at::Tensor gain;                            ///< [N,1,V]

  explicit NetworkRows(const NetworkCall& call);
  /// Stretches of these many tokens. All cut at once: a cut of its own per stretch would send a gradient of the whole back each.
  std::vector<NetworkRows> split(const std::vector<int64_t>& sizes) const;
};

/// Weights as [N,·,·], without the measurements of an earlier call; and [B,H,·,·] again, reads and losses too.
void to_rows(const NetworkCall& call, NetworkWeights& weights);
void to_heads(const NetworkCall& call, NetworkWeights& weights);
at::Tensor to_heads(const NetworkCall& call, const at::Tensor& rows);

}  // namespace mneme::memory
