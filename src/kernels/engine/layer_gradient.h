// The functions of layer.h backwards. A name with _bar is the gradient of the outer loss with respect to what it names;
// gradients are added to unless said.
#pragma once

#include "kernels/engine/layer.h"
#include "kernels/engine/rows.h"

namespace mneme::kernels {
namespace {

/// Scratch that the functions below share, for tiles of C tokens and layers up to `width`.
template <int L>
struct GradientBuffers {
  Matrix scaled, dots_d, dots_m, cut;  // [C,width], [C,·] partial sums, [C,C]

  GradientBuffers(Arena& a, int64_t C, int64_t width)
      : scaled(a.matrix(C, width)), dots_d(a.matrix(C, kPad)), dots_m(a.matrix(C, kPad)), cut(a.matrix(C, C)) {}

  void clear_dots(int64_t rows) const {
    for (int64_t t = 0; t < rows; ++t) at<L>(dots_d.row(t)) = at<L>(dots_m.row(t)) = Float<L>{};
  }
  static void add_dots(Matrix dots, int64_t rows, float* to) {
    for (int64_t t = 0; t < rows; ++t) to[t] += sum<L>(at<L>(dots.row(t)));
  }
};

/// to += leftᵀ (scale ⊙ right), [rows, in]ᵀ [rows, out]; scale null: 1.
template <int L>
void add_outer(Matrix left, Matrix right, const float* scale, int64_t rows, int64_t in, int64_t out, Matrix scaled, Matrix to) {
  if (scale) {
    const bool narrow_left = in < out;
    scale_rows<L>(narrow_left ? left : right, scale, rows, narrow_left ? in : out, scaled);
    (narrow_left ? left : right) = scaled;
  }
  product<L>({in, out, rows}, Transposed{left}, right, Add<L>{to});
}

/// base() backwards, to = d ⊙ (z w) + m ⊙ (z S) + z I: z_bar and the gradients of d and m, not those of the weights.
template <int L>
void base_input_gradient(const Weights& xT, int64_t rows, Matrix z, const float* d, const float* m, Matrix to_bar, Matrix z_bar,
                         float* d_bar, float* m_bar, const GradientBuffers<L>& b) {
  const Dims n{rows, xT.out, xT.in};
  b.clear_dots(rows);
  product<L>(n, to_bar, xT.w, AddScaledDot<L>{z_bar, d, z, b.dots_d});
  if (xT.S) product<L>(n, to_bar, xT.S, AddScaledDot<L>{z_bar, m, z, b.dots_m});
  if (xT.I) product<L>(n, to_bar, xT.I, Add<L>{z_bar});
  b.add_dots(b.dots_d, rows, d_bar);
  if (xT.S) b.add_dots(b.dots_m, rows, m_bar);
}

/// base() backwards for the weights: x_bar += zᵀ (d ⊙ to_bar) and so on.
template <int L>
void base_weight_gradient(const Weights& x_bar, int64_t rows, Matrix z, const float* d, const float* m, Matrix to_bar,
                          const GradientBuffers<L>& b) {
  add_outer<L>(z, to_bar, d, rows, x_bar.in, x_bar.out, b.scaled, x_bar.w);
  if (x_bar.S) add_outer<L>(z, to_bar, m, rows, x_bar.in, x_bar.out, b.scaled, x_bar.S);
  if (x_bar.I) add_outer<L>(z, to_bar, nullptr, rows, x_bar.in, x_bar.out, b.scaled, x_bar.I);
}

/// read() backwards. Sets the gradient of K.
template <int L>
void read_gradient(const Weights& xT, const Weights& x_bar, const Gates<L>& g, GateGradients<L>& g_bar, int64_t rows, Matrix z, Matrix A,
                   Matrix delta_transposed, Matrix inside, Matrix raw, Matrix to_bar, Matrix z_bar, Matrix A_bar, Matrix delta_bar,
                   const GradientBuffers<L>& b) {
  const int64_t in = x_bar.in, out = x_bar.out;
  base_input_gradient<L>(xT, rows, z, g.d, g.m, to_bar, z_bar, g_bar.d, g_bar.m, b);
  base_weight_gradient<L>(x_bar, rows, z, g.d, g.m, to_bar, b);
  product<L, Band::lower_result>({rows, rows, out}, to_bar, delta_transposed, SplitMasked<L>{g_bar.K, raw, false, b.cut, g.K});
  product<L, Band::lower_left>({rows, in, rows}, b.cut, A, Add<L>{z_bar});
  product<L, Band::upper_left>({rows, in, rows}, Transposed{b.cut}, z, Add<L>{A_bar});
  product<L, Band::upper_left>({rows, out, rows}, Transposed{inside}, to_bar, Add<L>{delta_bar});
}

/// write() backwards: x_bar holds the gradient of the next state and receives that of the tile's start.
template <int L>
void write_gradient(const Weights& x, const Weights& x_bar, const Weights& buffers, const Gates<L>& g, GateGradients<L>& g_bar,
                    int64_t rows, Matrix A, Matrix delta, Matrix A_bar, Matrix delta_bar, const GradientBuffers<L>& b) {
  b.clear_dots(rows);
  product<L>({rows, x.out, x.in}, A, x_bar.w, AddScaledDot<L>{delta_bar, g.write, delta, b.dots_d});
  if (x.S) product<L>({rows, x.out, x.in}, A, x_bar.S, AddScaledDot<L>{delta_bar, g.momentum_write, delta, b.dots_m});
  b.add_dots(b.dots_d, rows, g_bar.write);
  if (x.S) b.add_dots(b.dots_m, rows, g_bar.momentum_write);
  const Weights T = transposed<L>({x.in, x.out, x_bar.w, x_bar.S, {}}, buffers);
  product<L>({rows, x.in, x.out}, delta, T.w, AddScaled<L>{A_bar, g.write});
  if (x.S) product<L>({rows, x.in, x.out}, delta, T.S, AddScaled<L>{A_bar, g.momentum_write});

  const float d = g.d[rows - 1], m = g.m[rows - 1];
  Float<L> dot_d = {}, dot_m = {}, dot_p = {};
  for (int64_t i = 0; i < x.in * x.w.stride; i += L) {
    Float<L>& w_bar = at<L>(x_bar.w.data + i);
    const Float<L> next = w_bar;
    dot_d += next * at<L>(x.w.data + i);
    w_bar = next * d;
    if (!x.S) continue;
    Float<L>& S_bar = at<L>(x_bar.S.data + i);
    const Float<L> S = at<L>(x.S.data + i);
    dot_m += next * S;
    dot_p += S_bar * S;
    S_bar = S_bar * g.p + next * m;
  }
  g_bar.end_d += sum<L>(dot_d), g_bar.end_m += sum<L>(dot_m), g_bar.p += sum<L>(dot_p);
}

/// exact_errors() backwards. delta_bar becomes the gradient of −target.
template <int L>
void exact_errors_gradient(const Weights& xT, const Weights& x_bar, const Gates<L>& g, GateGradients<L>& g_bar, float c, int64_t rows,
                           Matrix A, Matrix delta_transposed, Matrix system, Matrix raw, Matrix delta_bar, Matrix A_bar,
                           const GradientBuffers<L>& b) {
  const int64_t in = x_bar.in, out = x_bar.out;
  solve_unit_lower_transposed<L>(system, delta_bar, rows, out);
  product<L, Band::lower_result>({rows, rows, out}, delta_bar, delta_transposed,
                                 SplitMasked<L>{g_bar.K.before(), raw, true, b.cut, g.K.before(), c});
  product<L, Band::lower_left>({rows, in, rows}, b.cut, A, Add<L>{A_bar});
  product<L, Band::upper_left>({rows, in, rows}, Transposed{b.cut}, A, Add<L>{A_bar});
  for (int64_t i = 0; i < rows * delta_bar.stride; i += L) at<L>(delta_bar.data + i) *= c;
  base_input_gradient<L>(xT, rows, A, g.d - 1, g.m - 1, delta_bar, A_bar, g_bar.d - 1, g_bar.m - 1, b);
  base_weight_gradient<L>(x_bar, rows, A, g.d - 1, g.m - 1, delta_bar, b);
}

/// stale_errors() backwards. delta_bar becomes the gradient of −target; RT = Rᵀ.
template <int L>
void stale_errors_gradient(Matrix RT, float c, int64_t in, int64_t out, int64_t rows, Matrix A, Matrix delta_bar, Matrix A_bar,
                           Matrix R_bar) {
  for (int64_t i = 0; i < rows * delta_bar.stride; i += L) at<L>(delta_bar.data + i) *= c;
  product<L>({rows, in, out}, delta_bar, RT, Add<L>{A_bar});
  product<L>({in, out, rows}, Transposed{A}, delta_bar, Add<L>{R_bar});
}

}  // namespace
}  // namespace mneme::kernels
