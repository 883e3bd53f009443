// Element-wise and small loops, float and double, vectorised by the compiler: no library has them fused as layers use them.
#pragma once

#include "kernels/engine.h"

namespace mneme::kernels {
namespace {

/// e^x within 2 ulp for −87 ≤ x ≤ 88 (clamped outside): Cody–Waite reduction and a degree-6 polynomial, branch-free.
MNEME_ALWAYS_INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
  const float shifted = x * 1.44269504088896341f + magic;
  const float n = shifted - magic;
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = (__builtin_bit_cast(int32_t, shifted) - __builtin_bit_cast(int32_t, magic)) << 23;
  return __builtin_bit_cast(float, __builtin_bit_cast(int32_t, p) + exponent);
}
MNEME_ALWAYS_INLINE double exponential(double x) { return __builtin_exp(x); }

template <class T>
MNEME_ALWAYS_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}

MNEME_ALWAYS_INLINE float root(float x) { return __builtin_sqrtf(x); }
MNEME_ALWAYS_INLINE double root(double x) { return __builtin_sqrt(x); }

// SwiGLU: a row of x is [gate, value], h each; y = gate · σ(gate) · value.
template <class T>
void swiglu(const T* x, T* y, int64_t first, int64_t last, int64_t h) {
  for (int64_t i = first; i < last; ++i) {
    const T *g = x + 2 * i * h, *v = g + h;
    T* o = y + i * h;
#pragma omp simd
    for (int64_t j = 0; j < h; ++j) o[j] = g[j] * sigmoid(g[j]) * v[j];
  }
}

template <class T>
void swiglu_gradient(const T* x, const T* dy, T* dx, int64_t first, int64_t last, int64_t h) {
  for (int64_t i = first; i < last; ++i) {
    const T *g = x + 2 * i * h, *v = g + h, *d = dy + i * h;
    T *dg = dx + 2 * i * h, *dv = dg + h;
#pragma omp simd
    for (int64_t j = 0; j < h; ++j) {
      const T s = sigmoid(g[j]);
      dg[j] = d[j] * v[j] * s * (T(1) + g[j] * (T(1) - s));
      dv[j] = d[j] * g[j] * s;
    }
  }
}

// Short convolution. One batch row. x points at input −(K−1), so that input t is x[(t+K−1)·n].
template <class T>
void short_conv(const T* x, const T* taps, T* y, int64_t steps, int64_t n, int64_t k, bool silu) {
  for (int64_t t = 0; t < steps; ++t) {
    const T* xt = x + (t + k - 1) * n;
    T* yt = y + t * n;
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) yt[c] = taps[c] * xt[c];
    for (int64_t j = 1; j < k; ++j) {
      const T *w = taps + j * n, *xj = xt - j * n;
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) yt[c] += w[c] * xj[c];
    }
    if (silu) {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) yt[c] *= sigmoid(yt[c]);
    }
  }
}

// dx has the tail's rows in front; dz is scratch of n.
template <class T>
void short_conv_gradient(const T* x, const T* taps, const T* dy, T* dx, T* dtaps, T* dz, int64_t steps, int64_t n, int64_t k,
                               bool silu) {
  for (int64_t t = 0; t < steps; ++t) {
    const T *xt = x + (t + k - 1) * n, *dt = dy + t * n;
    T* dxt = dx + (t + k - 1) * n;
    if (silu) {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) dz[c] = taps[c] * xt[c];
      for (int64_t j = 1; j < k; ++j) {
        const T *w = taps + j * n, *xj = xt - j * n;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) dz[c] += w[c] * xj[c];
      }
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) {
        const T s = sigmoid(dz[c]);
        dz[c] = dt[c] * s * (T(1) + dz[c] * (T(1) - s));
      }
    } else {
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) dz[c] = dt[c];
    }
    for (int64_t j = 0; j < k; ++j) {
      const T *w = taps + j * n, *xj = xt - j * n;
      T *dxj = dxt - j * n, *dw = dtaps + j * n;
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) {
        dxj[c] += w[c] * dz[c];
        dw[c] += xj[c] * dz[c];
      }
    }
  }
}

// Rotary phase. Heads of one token, one every `stride` numbers; sign −1 rotates back. row: cosines, then sines.
template <class T>
void rotate(const T* x, const T* row, T* y, int64_t heads, int64_t x_stride, int64_t y_stride, int64_t d, T sign) {
  const int64_t half = d / 2;
  for (int64_t h = 0; h < heads; ++h) {
    const T* xh = x + h * x_stride;
    T* yh = y + h * y_stride;
#pragma omp simd
    for (int64_t i = 0; i < half; ++i) {
      const T c = row[i], s = sign * row[half + i], a = xh[2 * i], b = xh[2 * i + 1];
      yh[2 * i] = a * c - b * s;
      yh[2 * i + 1] = a * s + b * c;
    }
  }
}

// Row norms. y = x · r · w with r = 1/√(Σx²·scale + eps); w may be null. Rows [first, last) of width n.
template <class T>
void row_norm(const T* x, const T* w, T* y, T* r_out, int64_t first, int64_t last, int64_t n, T scale, T eps) {
  for (int64_t i = first; i < last; ++i) {
    const T* xi = x + i * n;
    T* yi = y + i * n;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) sum += xi[j] * xi[j];
    const T r = T(1) / root(sum * scale + eps);
    r_out[i] = r;
    if (w) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) yi[j] = xi[j] * r * w[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) yi[j] = xi[j] * r;
    }
  }
}

// dx = r·(g − x · r² · scale · Σ g x), g = dy ⊙ w;   dw += Σ_rows dy ⊙ x · r
template <class T>
void row_norm_gradient(const T* x, const T* w, const T* r_in, const T* dy, T* dx, T* dw, int64_t first, int64_t last,
                                int64_t n, T scale) {
  for (int64_t i = first; i < last; ++i) {
    const T *xi = x + i * n, *di = dy + i * n;
    T* oi = dx + i * n;
    const T r = r_in[i];
    T dot = 0;
    if (w) {
#pragma omp simd reduction(+ : dot)
      for (int64_t j = 0; j < n; ++j) dot += di[j] * w[j] * xi[j];
      const T c = dot * r * r * r * scale;
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) {
        oi[j] = di[j] * w[j] * r - xi[j] * c;
        dw[j] += di[j] * xi[j] * r;
      }
    } else {
#pragma omp simd reduction(+ : dot)
      for (int64_t j = 0; j < n; ++j) dot += di[j] * xi[j];
      const T c = dot * r * r * r * scale;
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) oi[j] = di[j] * r - xi[j] * c;
    }
  }
}

// Coefficients of a tile (memory/coefficients.h). A token that is no step has θ = α = 0 and η = 1 here (no_step); what is left of it is that S does not move W.
template <class T>
MNEME_ALWAYS_INLINE T moves(const T* step, int64_t t) {
  return step ? step[t] : T(1);
}

// Rows P_t and Q_t of one tile into P, Q [C,C]. Entries right of the diagonal are set to zero.
template <class T>
MNEME_ALWAYS_INLINE void decay_rows(const T* alpha, const T* eta, const T* step, T* P, T* Q, int64_t n) {
  for (int64_t t = 0; t < n; ++t) {
    const T keep = T(1) - alpha[t], carry = eta[t], move = moves(step, t);
    T *pt = P + t * n, *qt = Q + t * n;
    for (int64_t i = t; i < n; ++i) pt[i] = qt[i] = 0;
    if (t) {
      const T *pb = pt - n, *qb = qt - n;
#pragma omp simd
      for (int64_t i = 0; i < t; ++i) {
        pt[i] = carry * pb[i];
        qt[i] = keep * qb[i] + move * pt[i];
      }
    }
    pt[t] = qt[t] = 1;
  }
}

template <class T>
void coefficients(const CoefficientTile<T>& x, T* P, T* Q, int64_t n) {
  decay_rows(x.alpha, x.eta, x.step, P, Q, n);
  T d = 1, m = 0, p = 1;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x.Kb[i] = 0;
  for (int64_t t = 0; t < n; ++t) {
    x.db[t] = d;
    x.mb[t] = m;
    p *= x.eta[t];
    d *= T(1) - x.alpha[t];
    m = (T(1) - x.alpha[t]) * m + moves(x.step, t) * p;
    x.d[t] = d;
    x.m[t] = m;
    const T* qt = Q + t * n;
    T* kt = x.K + t * n;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) kt[i] = -qt[i] * x.theta[i];
    if (t + 1 < n) {
      T* next = x.Kb + (t + 1) * n;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) next[i] = kt[i];
    }
  }
  *x.p = p;
  const T* last = P + (n - 1) * n;
  for (int64_t i = 0; i < n; ++i) x.L[i] = -last[i] * x.theta[i];
}

// The recurrences run backwards; bP, bQ [C] are the adjoints of the current rows.
template <class T>
void coefficients_gradient(const CoefficientTileGradient<T>& x, T* P, T* Q, T* bP, T* bQ, T* ps, int64_t n) {
  decay_rows(x.alpha, x.eta, x.step, P, Q, n);
  T p = 1;
  for (int64_t t = 0; t < n; ++t) ps[t] = (p *= x.eta[t]);
  for (int64_t i = 0; i < n; ++i) {
    bQ[i] = 0;
    bP[i] = -x.gL[i] * x.theta[i];
    x.gtheta[i] = -P[(n - 1) * n + i] * x.gL[i];
  }
  T bp = *x.gp, bd = 0, bm = 0;
  for (int64_t t = n; t-- > 0;) {
    const bool inner = t + 1 < n;
    const T *qt = Q + t * n, *gk = x.gK + t * n, *gb = x.gKb + (inner ? t + 1 : 0) * n;
    const T use = inner ? T(1) : T(0), move = moves(x.step, t);
#pragma omp simd
    for (int64_t i = 0; i <= t; ++i) {
      const T g = gk[i] + use * gb[i];
      x.gtheta[i] -= g * qt[i];
      bQ[i] -= g * x.theta[i];
      bP[i] += move * bQ[i];
    }
    bd += x.gd[t] + (inner ? x.gdb[t + 1] : T(0));
    bm += x.gm[t] + (inner ? x.gmb[t + 1] : T(0));
    bp += move * bm;
    const T keep = T(1) - x.alpha[t], carry = x.eta[t];
    T ga = 0, ge = bp * (t ? ps[t - 1] : T(1));
    ga += bd * (t ? x.d[t - 1] : T(1)) + bm * (t ? x.m[t - 1] : T(0));
    if (t) {
      const T *qb = qt - n, *pb = P + (t - 1) * n;
      T sq = 0, sp = 0;
#pragma omp simd reduction(+ : sq, sp)
      for (int64_t i = 0; i < t; ++i) {
        sq += bQ[i] * qb[i];
        sp += bP[i] * pb[i];
      }
      ga += sq;
      ge += sp;
#pragma omp simd
      for (int64_t i = 0; i < t; ++i) {
        bQ[i] *= keep;
        bP[i] *= carry;
      }
    }
    x.galpha[t] = -ga;
    x.geta[t] = ge;
    bd *= keep;
    bm *= keep;
    bp *= carry;
  }
}

// Y = (I + A)^{-1}: row t is e_t − Σ_{i<t} A[t,i] · row i, and row i ends at column i. Four rows at a time share a pass.
template <class T>
void invert_unit_lower(const T* A, T* Y, int64_t n) {
  for (int64_t t = 0; t < n; ++t) {
    const T* at = A + t * n;
    T* yt = Y + t * n;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) yt[j] = 0;
    yt[t] = 1;
    int64_t i = 0;
    for (; i + 4 <= t; i += 4) {
      const T a = at[i], b = at[i + 1], c = at[i + 2], d = at[i + 3];
      const T *ya = Y + i * n, *yb = ya + n, *yc = yb + n, *yd = yc + n;
#pragma omp simd
      for (int64_t j = 0; j < i + 4; ++j) yt[j] -= a * ya[j] + b * yb[j] + c * yc[j] + d * yd[j];
    }
    for (; i < t; ++i) {
      const T a = at[i];
      const T* ya = Y + i * n;
#pragma omp simd
      for (int64_t j = 0; j <= i; ++j) yt[j] -= a * ya[j];
    }
  }
}

template <class T>
constexpr Loops<T> loops_of() {
  return {swiglu<T>,   swiglu_gradient<T>,   short_conv<T>,   short_conv_gradient<T>,   rotate<T>,
          row_norm<T>, row_norm_gradient<T>, coefficients<T>, coefficients_gradient<T>, invert_unit_lower<T>};
}

}  // namespace
}  // namespace mneme::kernels
