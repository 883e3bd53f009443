// The loss of a window of c tokens (Omega rule, Behrouz et al., arXiv 2505.23735), over any inner loss l:
//
//   l_t(M) = Σ_{i=t−c+1..t} γ_i^(t) l(M; k_i, v_i)
//
// γ^(t): c gates of token t, the last one for itself, the first for the oldest. A step whose tokens t have weights θ_t is then one of
// the tokens of window and step, weighted by Σ_t θ_t γ_i^(t): the gradient is linear in them, so that any network and loss can have a window.
// The window belongs to the state: of the last c − 1 tokens k, v, the loss's gates and whether there was one (a masked token is none, so
// the window is that of steps). State per row and head: (c − 1)(K + V + 1 + gates of the loss).
#pragma once

#include "memory/rule/part.h"

namespace mneme::rule {

/// Tokens that a step goes down the loss of.
struct StepTokens {
  at::Tensor key, value;  ///< [B,H,m,K], [B,H,m,V]
  Tensors gates;          ///< of the loss, [B,H,m,1]
  at::Tensor weights;     ///< [B,H,m,1 or matrices] of their gradients
};

/// An empty window of c tokens: adds its tensors to the state of `rows` fresh rows.
void begin_window(int64_t c, int64_t rows, int64_t heads, int64_t key_width, int64_t value_width, const std::vector<Gate>& loss_gates,
                  const at::TensorOptions& options, Tensors& state);

/// The window's c − 1 tokens in front of a step's n. gamma [B,H,n,c]; step bool [B,n], undefined = all are steps. The window moves on.
StepTokens with_window(const StepTokens& now, const at::Tensor& gamma, const at::Tensor& step, Tensors& state);

}  // namespace mneme::rule
