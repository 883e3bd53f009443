// The gates of a tile as tables (memory/coefficients.h has the equations), forward and backward.
#pragma once

#include "kernels/engine/products.h"

namespace mneme::kernels {
namespace {

/// Rows e_t, read backwards from its one.
struct UnitRow {
  float row[2 * kTileTokens + kPad] = {};
  constexpr UnitRow() { row[kTileTokens] = 1; }
};
constexpr UnitRow kUnit;

/// Tables of one weight matrix in a tile of C tokens. Rows and entries −1 exist: K is zero there, d one, m zero, so that
/// `before` tables are the same memory moved down one row.
template <int L>
struct Gates {
  Matrix K, P, Q;                 ///< [C,C], zero right of the diagonal as far as a block of columns reaches
  float *d, *m;                   ///< [C]
  float *write, *momentum_write;  ///< [C] last row of K; −P_C ⊙ θ
  float *theta, *keep, *carry;    ///< [C] θ, 1 − α, η
  float p;

  void place(Arena& a, int64_t C) {
    K = a.matrix_with_row_before(C, C), P = a.matrix(C, C), Q = a.matrix(C, C);
    d = a.vector_with_entry_before(C), m = a.vector_with_entry_before(C);
    write = nullptr, momentum_write = a.take(C);
    theta = a.take(C), keep = a.take(C), carry = a.take(C);
  }

  /// eta null: no momentum. P and Q beyond their last rows are kept for the backward pass only.
  __attribute__((noinline)) void fill(const float* theta_in, const float* alpha, const float* eta, int64_t n, bool keep_tables) {
    const int64_t width = padded(n);
    for (int64_t i = 0; i < width; ++i) {
      theta[i] = i < n ? theta_in[i] : 0;
      keep[i] = i < n ? 1 - alpha[i] : 0;
      carry[i] = i < n && eta ? eta[i] : 0;
      K.row(-1)[i] = 0;
    }
    for (int64_t i = 0; i < width; i += L) {  // L columns down the rows, from the one above the first that a product reads
      Float<L> pi = {}, qi = {};
      const Float<L> step = -at<L>(theta + i);
      for (int64_t t = i / kPad * kPad - (i >= kPad); t < n; ++t) {
        pi = pi * carry[t] + at<L>(kUnit.row + kTileTokens - t + i);
        qi = qi * keep[t] + pi;
        at<L>(K.row(t) + i) = qi * step;
        if (!keep_tables) continue;
        at<L>(P.row(t) + i) = pi;
        at<L>(Q.row(t) + i) = qi;
      }
      at<L>(momentum_write + i) = pi * step;
    }
    write = K.row(n - 1);
    d[-1] = 1, m[-1] = 0, p = 1;
    for (int64_t t = 0; t < n; ++t) {
      p *= carry[t];
      d[t] = d[t - 1] * keep[t];
      m[t] = m[t - 1] * keep[t] + p;
    }
  }
};

/// Gradients of the tables, from which come those of the gates. K is set by the read, the rest starts from zero (`clear`) and
/// is added to; rows and entries −1 take what belongs to no token.
template <int L>
struct GateGradients {
  Matrix K;
  float *d, *m, *write, *momentum_write, *bP, *bQ, *powers;
  float end_d, end_m, p;

  void place(Arena& a, int64_t C) {
    K = a.matrix_with_row_before(C, C);
    d = a.vector_with_entry_before(C), m = a.vector_with_entry_before(C);
    write = a.take(C), momentum_write = a.take(C), bP = a.take(C), bQ = a.take(C), powers = a.vector_with_entry_before(C);
  }

  void clear() {
    for (int64_t t = -1; t < kTileTokens; ++t) d[t] = m[t] = 0;
    for (int64_t t = 0; t < kTileTokens; ++t) write[t] = momentum_write[t] = K.row(-1)[t] = 0;
    end_d = end_m = p = 0;
  }

  /// The recurrences backwards; bP, bQ are the adjoints of rows P_t, Q_t. geta may be null.
  __attribute__((noinline)) void finish(const Gates<L>& g, int64_t n, float* gtheta, float* galpha, float* geta) {
    const int64_t width = padded(n);
    d[n - 1] += end_d, m[n - 1] += end_m;
    for (int64_t i = 0; i < width; i += L) at<L>(K.row(n - 1) + i) += at<L>(write + i);
    powers[-1] = 1;
    for (int64_t t = 0; t < n; ++t) powers[t] = powers[t - 1] * g.carry[t];
    float theta_gradient[kTileTokens];
    for (int64_t i = 0; i < width; i += L) {
      at<L>(bQ + i) = Float<L>{};
      at<L>(bP + i) = -at<L>(momentum_write + i) * at<L>(g.theta + i);
      at<L>(theta_gradient + i) = -at<L>(g.P.row(n - 1) + i) * at<L>(momentum_write + i);
    }
    float gp = p, gd = 0, gm = 0;
    for (int64_t t = n - 1; t >= 0; --t) {
      // Entries right of the diagonal of K's gradient are no gradient: they are cut by the zeros of Q and P, and in bQ, bP
      // they never reach a column that is read later (row t reads columns ≤ t).
      const float *qt = g.Q.row(t), *kt = K.row(t);
      const int64_t end = padded(t + 1) < width ? padded(t + 1) : width;
      Float<L> sq = {}, sp = {};
      for (int64_t i = 0; i < end; i += L) {
        const Float<L> k = at<L>(kt + i);
        at<L>(theta_gradient + i) -= k * at<L>(qt + i);
        Float<L> q = at<L>(bQ + i) - k * at<L>(g.theta + i), r = at<L>(bP + i) + q;
        if (t) {
          sq += q * at<L>(qt - g.Q.stride + i);
          sp += r * at<L>(g.P.row(t - 1) + i);
        }
        at<L>(bQ + i) = q * g.keep[t];
        at<L>(bP + i) = r * g.carry[t];
      }
      gd += d[t], gm += m[t], gp += gm;
      galpha[t] = -(gd * g.d[t - 1] + gm * g.m[t - 1] + sum<L>(sq));
      if (geta) geta[t] = gp * powers[t - 1] + sum<L>(sp);
      gd *= g.keep[t], gm *= g.keep[t], gp *= g.carry[t];
    }
    for (int64_t i = 0; i < n; ++i) gtheta[i] = theta_gradient[i];
  }
};

}  // namespace
}  // namespace mneme::kernels
