// The guard of stale gradients. Tokens of one refresh interval do not see each other's writes, so the same key written n times
// steps n times as far: beyond Σ θ ‖k‖² = 1 the error grows. The guard bounds what an interval writes in any one direction:
//
//   load_t = Σ_{j<t} θ'_j (A_j·A_t)² / ‖A_t‖²        θ'_t ← min(θ'_t, (limit − load_t) / ‖A_t‖²), at least 0
//
// over the earlier tokens j of the interval, with θ' = θ / (1 − η) the step with all its momentum. Causal; distinct keys do not
// feel it. Own; where it starts to act is mapped in experiments/reproduce/stability/.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

constexpr double kGuardLimit = 0.4;

struct Guarded {
  at::Tensor factor;  ///< [N,C] in [0,1], on θ
  at::Tensor load;    ///< [N,E,E] Σ θ' AᵀA of the interval so far
};

/// rows A [N,C,E]; theta, eta [N,C] (eta undefined = none); load of the interval before these tokens; curvature: the loss's c/2.
Guarded guard(const at::Tensor& rows, const at::Tensor& theta, const at::Tensor& eta, const at::Tensor& load, double curvature);

}  // namespace mneme::memory
