// The guard of stale gradients. Tokens of one refresh interval do not see each other's writes, so the same key written n times
// steps n times as far: beyond Σ θ ‖k‖² = 1 the error grows. The guard bounds what an interval writes in any one direction:
//
//   θ'_t = (c/2) θ_t / (1 − η_t)                        the step as wanted, with all its momentum
//   load_t = Σ_{j<t} θ'_j (A_j·A_t)² / ‖A_t‖²          what earlier tokens j of the interval wanted to write in A_t's direction
//   θ_t ← θ_t · min(1, max(0, limit − load_t) / (θ'_t ‖A_t‖²))
//
// c of the loss's gradient c e; θ after the clip; of a group, η of its last token. The load counts steps as wanted, not as shortened:
// no token waits for another's, and once a direction is full it stays so until the next refresh point. Masked tokens and those of an
// unfinished group write nothing and count nothing. Causal; distinct keys do not feel it. Own; where it starts to act is mapped in
// experiments/stability/.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

constexpr double kGuardLimit = 0.4;

struct Guarded {
  at::Tensor factor;  ///< [N,C] in [0,1], on θ
  at::Tensor load;    ///< [N,E,E] Σ θ' AᵀA of the interval so far
  at::Tensor firings; ///< steps it shortened: int64 scalar
};

/// rows A [N,C,E]; theta [N,C], 0 where a token is no step; eta [N,C], undefined = none; load of the interval before these tokens;
/// curvature: the loss's c/2.
Guarded guard(const at::Tensor& rows, const at::Tensor& theta, const at::Tensor& eta, const at::Tensor& load, double curvature);

}  // namespace mneme::memory
