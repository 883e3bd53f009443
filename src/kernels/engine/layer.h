// One weight matrix inside a tile (docs/maths.md, dual form): rows z meet W_t = d_t w + m_t S (+ I) + Σ K[t,i] A_iᵀ Δ_i,
// where w = W − I if forgetting leads to the initial weights I.
#pragma once

#include "kernels/engine/gates.h"
#include "kernels/engine/solve.h"

namespace mneme::kernels {
namespace {

/// A matrix as it stands at the start of a tile; S, I may be absent.
struct Weights {
  int64_t in = 0, out = 0;
  Matrix w, S, I;
};

/// to = d ⊙ (z w) + m ⊙ (z S) + z I
template <int L>
void base(const Weights& x, int64_t rows, Matrix z, const float* d, const float* m, Matrix to) {
  const Dims n{rows, x.out, x.in};
  product<L>(n, z, x.w, SetScaled<L>{to, d});
  if (x.S) product<L>(n, z, x.S, AddScaled<L>{to, m});
  if (x.I) product<L>(n, z, x.I, Add<L>{to});
}

/// The same against the transposed matrices: x holds wᵀ, Sᵀ, Iᵀ.
template <int L>
Weights transposed(const Weights& x, const Weights& buffers) {
  Weights t{x.out, x.in, buffers.w, x.S ? buffers.S : Matrix{}, x.I ? buffers.I : Matrix{}};
  transpose<L>(x.w, x.in, x.out, t.w);
  if (x.S) transpose<L>(x.S, x.in, x.out, t.S);
  if (x.I) transpose<L>(x.I, x.in, x.out, t.I);
  return t;
}

/// read of rows z: to = base(z) + (K ⊙ z Aᵀ) Δ; `inside` receives K ⊙ z Aᵀ and `raw`, if there, z Aᵀ.
template <int L>
void read(const Weights& x, const Gates<L>& g, int64_t rows, Matrix z, Matrix A_transposed, Matrix delta, Matrix inside, Matrix raw,
          Matrix to) {
  base<L>(x, rows, z, g.d, g.m, to);
  product<L, Band::lower_result>({rows, rows, x.in}, z, A_transposed, SetMasked<L>{inside, g.K, raw});
  product<L, Band::lower_left>({rows, x.out, rows}, inside, delta, Add<L>{to});
}

/// to[t] = scale[t] · from[t]
template <int L>
void scale_rows(Matrix from, const float* scale, int64_t rows, int64_t columns, Matrix to) {
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t j = 0; j < padded(columns); j += L) at<L>(to.row(t) + j) = at<L>(from.row(t) + j) * scale[t];
}

/// The end of a tile: w ← d_C w + m_C S + (K_C ⊙ A)ᵀ Δ, S ← p S + (−P_C θ ⊙ A)ᵀ Δ, into `next`, which may be x itself.
template <int L>
void write(const Weights& x, const Gates<L>& g, int64_t rows, Matrix A, Matrix delta, Matrix scaled, const Weights& next) {
  const bool scale_input = x.in < x.out;  // the narrower of the two
  const Dims n{x.in, x.out, rows};
  auto add = [&](const float* weight, const auto& store) {
    scale_rows<L>(scale_input ? A : delta, weight, rows, scale_input ? x.in : x.out, scaled);
    product<L>(n, Transposed{scale_input ? scaled : A}, scale_input ? delta : scaled, store);
  };
  add(g.write, SetSum<L>{next.w, x.w, g.d[rows - 1], x.S, g.m[rows - 1]});
  if (x.S) add(g.momentum_write, SetSum<L>{next.S, x.S, g.p, Matrix{}, 0});
}

/// Errors of the last layer, exact at each token's own weights, target t: with tables one row down,
/// (I − c (K' ⊙ A Aᵀ)) Δ = c (d' ⊙ (A w) + m' ⊙ (A S) + A I − t). `system` receives −c K' ⊙ A Aᵀ.
template <int L>
void exact_errors(const Weights& x, const Gates<L>& g, float c, int64_t rows, Matrix A, Matrix A_transposed, Matrix target, Matrix system,
                  Matrix raw, Matrix delta) {
  base<L>(x, rows, A, g.d - 1, g.m - 1, delta);
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t j = 0; j < padded(x.out); j += L) at<L>(delta.row(t) + j) = (at<L>(delta.row(t) + j) - at<L>(target.row(t) + j)) * c;
  product<L, Band::lower_result>({rows, rows, x.in}, A, A_transposed, SetMasked<L>{system, g.K.before(), raw, -c});
  solve_unit_lower<L>(system, delta, rows, x.out);
}

/// Errors at the refresh point's weights R: Δ = c (A R − t).
template <int L>
void stale_errors(Matrix R, float c, int64_t in, int64_t out, int64_t rows, Matrix A, Matrix target, Matrix delta) {
  product<L>({rows, out, in}, A, R, Set<L>{delta, c});
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t j = 0; j < padded(out); j += L) at<L>(delta.row(t) + j) -= at<L>(target.row(t) + j) * c;
}

}  // namespace
}  // namespace mneme::kernels
