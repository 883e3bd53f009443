// The gates of a tile as matrices: how much of each token's write is left at each later token (docs/maths.md, dual form).
//
//   P_t = η_t P_{t−1} + e_t           p_t = η_t p_{t−1},                 p_0 = 1
//   Q_t = (1−α_t) Q_{t−1} + P_t       d_t = (1−α_t) d_{t−1},             d_0 = 1
//   K_t = −Q_t ⊙ θ                    m_t = (1−α_t) m_{t−1} + p_t,       m_0 = 0
//
//   W_t = d_t W_0 + m_t S_0 + Σ_{i≤t} K[t,i] A_iᵀ Δ_i        S_C = p_C S_0 + Σ_i L_i A_iᵀ Δ_i,   L = −P_C ⊙ θ
//
// A stable recurrence of products ≤ 1, no logarithms: α = 1 and η = 0 are fine. A token with step 0 leaves P, Q, d, m, p as
// they are, and its column of K is 0. A group of g tokens is one step, with α and η of its last token: the rows of M_t are those
// after ⌊(t+1)/g⌋ groups, the rows before the token's step those after ⌊t/g⌋.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

/// Rows of the tables at each token of N tiles of C tokens.
struct Rows {
  at::Tensor K;  ///< [N,C,C] weight of token i's write (column)
  at::Tensor d;  ///< [N,C] weight of W_0
  at::Tensor m;  ///< [N,C] weight of S_0
};

struct Coefficients {
  Rows now;      ///< of M_t: K lower triangular
  Rows before;   ///< of M_{t−1}: row t is row t−1 of `now`, the first 0, 1, 0; K strictly lower
  at::Tensor p;  ///< [N] weight of S_0 in S_C
  at::Tensor L;  ///< [N,C] weight in S_C of token i's write
};

/// theta, alpha, eta [N,C]; step [N,C] of 0 and 1, undefined = all 1. C starts at a group's first token; tokens of a last,
/// incomplete group have no effect. Differentiable, except by step.
Coefficients coefficients(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step = {},
                          int64_t group = 1);
/// The same by a loop over tokens, for groups of one token.
Coefficients coefficients_reference(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step = {});

}  // namespace mneme::memory
