// One fast matrix inside a tile: what the tile's tokens see of it, in dual form, and what it is at the tile's end.
//
//   W_t = d_t w + m_t S (+ initial) + Σ K[t,i] A_iᵀ Δ_i          w = W − initial where forgetting leads to the initial weights
#pragma once

#include <ATen/ATen.h>

#include "memory/coefficients.h"

namespace mneme::memory {

inline at::Tensor as_rows(const at::Tensor& coefficient) { return coefficient.unsqueeze(2); }  // [N,C] → [N,C,1]

class FastMatrix {
 public:
  FastMatrix(const at::Tensor& weights, const at::Tensor& momentum, const at::Tensor& initial)
      : w_(initial.defined() ? weights - initial : weights), momentum_(momentum), initial_(initial) {}

  /// z · (the part of W_t that was there before the tile), or z · W_tᵀ: [N,C,·].
  at::Tensor base(const at::Tensor& z, const Rows& at_rows, bool transposed = false) const {
    auto of = [&](const at::Tensor& x) { return transposed ? x.transpose(1, 2) : x; };
    at::Tensor y = as_rows(at_rows.d) * at::bmm(z, of(w_));
    if (momentum_.defined()) y = y + as_rows(at_rows.m) * at::bmm(z, of(momentum_));
    return initial_.defined() ? at::baddbmm(y, z, of(initial_)) : y;
  }

  /// z_t · W_t of every token, with the tile's own writes.
  at::Tensor apply(const at::Tensor& z, const Rows& at_rows, const at::Tensor& input, const at::Tensor& delta) const {
    return at::baddbmm(base(z, at_rows), at_rows.K * at::bmm(z, input.transpose(1, 2)), delta);
  }
  /// z_t · W_tᵀ
  at::Tensor apply_transposed(const at::Tensor& z, const Rows& at_rows, const at::Tensor& input, const at::Tensor& delta) const {
    return at::baddbmm(base(z, at_rows, true), at_rows.K * at::bmm(z, delta.transpose(1, 2)), input);
  }

  /// To the end of the tile.
  void write(const Coefficients& c, const at::Tensor& input, const at::Tensor& delta) {
    const int64_t last = c.now.d.size(1) - 1;
    auto end = [&](const at::Tensor& coefficient) { return coefficient.select(1, last).view({-1, 1, 1}); };
    at::Tensor next = end(c.now.d) * w_ + at::bmm((as_rows(c.now.K.select(1, last)) * input).transpose(1, 2), delta);
    if (momentum_.defined()) {
      next = next + end(c.now.m) * momentum_;
      momentum_ = c.p.view({-1, 1, 1}) * momentum_ + at::bmm((as_rows(c.L) * input).transpose(1, 2), delta);
    }
    w_ = next;
  }

  at::Tensor weights() const { return initial_.defined() ? w_ + initial_ : w_; }
  const at::Tensor& momentum() const { return momentum_; }

 private:
  at::Tensor w_, momentum_, initial_;
};

}  // namespace mneme::memory
