// The guard of stale gradients (memory/guard.h has the equations) over one whole refresh interval: a tile.
#pragma once

#include "kernels/engine/gates.h"

namespace mneme::kernels {
namespace {

template <int L>
struct IntervalGuard {
  static constexpr float kTiny = 1e-12f, kMomentumLeft = 1e-6f;
  Matrix gram;                       // [C,C] A Aᵀ, lower
  float *total, *wanted, *factor;    // [C] θ', θ' ‖A‖⁴, what θ was multiplied by
  float *theta, *room, *scale;       // [C] θ as shortened; room for `wanted`; θ' / θ
  float *theta_bar, *total_bar;      // [C]

  void place(Arena& x, int64_t C) {
    gram = x.matrix(C, C);
    float** const rows[] = {&total, &wanted, &factor, &theta, &room, &scale, &theta_bar, &total_bar};
    for (float** v : rows) *v = x.take(C);
  }

  bool fires(int64_t t) const { return wanted[t] > (room[t] > kTiny ? room[t] : kTiny); }

  /// theta receives the shortened steps. eta null: no momentum; curvature: c/2.
  __attribute__((noinline)) void shorten(Matrix A, Matrix A_transposed, int64_t n, int64_t in, const float* theta_in, const float* eta,
                                         float curvature, float limit) {
    product<L, Band::lower_result>({n, n, in}, A, A_transposed, Set<L>{gram});
    for (int64_t t = 0; t < n; ++t) {
      const float left = eta ? 1 - eta[t] : 1;
      scale[t] = curvature / (left > kMomentumLeft ? left : kMomentumLeft);
      total[t] = theta_in[t] * scale[t];
    }
    for (int64_t t = 0; t < n; ++t) {
      const float* g = gram.row(t);
      Float<L> sums = {};
      int64_t j = 0;
      for (; j + L <= t; j += L) sums += at<L>(g + j) * at<L>(g + j) * at<L>(total + j);
      float seen = sum<L>(sums);
      for (; j < t; ++j) seen += g[j] * g[j] * total[j];
      room[t] = limit * g[t] - seen;
      wanted[t] = total[t] * g[t] * g[t];
      factor[t] = fires(t) ? (room[t] > 0 ? room[t] / wanted[t] : 0) : 1;
      theta[t] = theta_in[t] * factor[t];
    }
  }

  /// theta_out and eta_out (may be null) hold the gradients of the shortened steps and of η, and receive those of the steps as wanted; what
  /// the rows gain is added to A_bar. gram_bar: scratch [C,C].
  __attribute__((noinline)) void gradient(Matrix A, int64_t n, int64_t in, const float* theta_in, const float* eta, float curvature,
                                          float limit, float* theta_out, float* eta_out, Matrix A_bar, Matrix gram_bar) {
    for (int64_t t = 0; t < n; ++t) theta_bar[t] = theta_out[t] * factor[t], total_bar[t] = 0;
    for (int64_t t = 0; t < n; ++t) {
      const float *g = gram.row(t), factor_bar = theta_out[t] * theta_in[t];
      float* g_bar = gram_bar.row(t);
      for (int64_t j = 0; j < padded(n); j += L) at<L>(g_bar + j) = Float<L>{};
      if (!fires(t) || !(room[t] > 0)) continue;
      const float room_bar = factor_bar / wanted[t], wanted_bar = -room_bar * factor[t];
      for (int64_t j = 0; j < t; ++j) {
        g_bar[j] = -2 * room_bar * g[j] * total[j];
        total_bar[j] -= room_bar * g[j] * g[j];
      }
      g_bar[t] = limit * room_bar + 2 * wanted_bar * total[t] * g[t];
      total_bar[t] += wanted_bar * g[t] * g[t];
    }
    for (int64_t t = 0; t < n; ++t) {
      theta_out[t] = theta_bar[t] + total_bar[t] * scale[t];
      if (eta_out && 1 - eta[t] > kMomentumLeft) eta_out[t] += total_bar[t] * total[t] * scale[t] / curvature;
    }
    product<L, Band::lower_left>({n, in, n}, gram_bar, A, Add<L>{A_bar});
    product<L, Band::upper_left>({n, in, n}, Transposed{gram_bar}, A, Add<L>{A_bar});
  }
};

}  // namespace
}  // namespace mneme::kernels
