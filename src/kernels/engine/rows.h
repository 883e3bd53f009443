// The element-wise part of the MLP memory, row by row: features a = s/‖s‖, s = gelu(h), and their derivatives.
#pragma once

#include "kernels/engine/scratch.h"
#include "kernels/engine/vector.h"

namespace mneme::kernels {
namespace {

constexpr float kUnitEpsilon = 1e-6f, kClipEpsilon = 1e-12f;

/// Columns [0, columns) of rows, padded with zeros, from a tensor with rows `stride` apart.
template <int L>
void load_rows(const float* from, int64_t stride, int64_t rows, int64_t columns, Matrix to) {
  const int64_t whole = columns / L * L, width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    const float* x = from + t * stride;
    for (int64_t j = 0; j < whole; j += L) at<L>(to.row(t) + j) = at<L>(x + j);
    for (int64_t j = whole; j < width; ++j) to.row(t)[j] = j < columns ? x[j] : 0;
  }
}

template <int L>
void set_zero(Matrix m, int64_t rows) {
  for (int64_t i = 0; i < rows * m.stride; i += L) at<L>(m.data + i) = Float<L>{};
}

template <int L>
void copy_rows(Matrix from, int64_t rows, Matrix to) {
  for (int64_t i = 0; i < rows * to.stride; i += L) at<L>(to.data + i) = at<L>(from.data + i);
}

/// to += scale · from
template <int L>
void add_rows(Matrix to, Matrix from, int64_t rows, float scale = 1) {
  for (int64_t i = 0; i < rows * to.stride; i += L) at<L>(to.data + i) += at<L>(from.data + i) * scale;
}

template <int L>
void store_rows(Matrix from, int64_t rows, int64_t columns, float* to, int64_t stride) {
  const int64_t whole = columns / L * L;
  for (int64_t t = 0; t < rows; ++t) {
    float* y = to + t * stride;
    for (int64_t j = 0; j < whole; j += L) at<L>(y + j) = at<L>(from.row(t) + j);
    for (int64_t j = whole; j < columns; ++j) y[j] = from.row(t)[j];
  }
}

/// a = s · inverse_norm, s = gelu(h), inverse_norm = (‖s‖² + ε)^{−1/2}. With D ≥ 1 derivatives wanted h becomes gelu'(h), with
/// two `curve` gelu''(h).
template <int L, int D>
__attribute__((noinline)) void unit_features(Matrix h, int64_t rows, int64_t columns, Matrix a, float* inverse_norm, Matrix curve = {}) {
  const int64_t width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    float *x = h.row(t), *y = a.row(t);
    Float<L> squares = {}, slope, second;
    for (int64_t j = 0; j < width; j += L) {
      const Float<L> s = gelu<L, D>(at<L>(x + j), slope, second);
      at<L>(y + j) = s;
      squares += s * s;
      if constexpr (D > 0) at<L>(x + j) = slope;
      if constexpr (D > 1) at<L>(curve.row(t) + j) = second;
    }
    const float r = inverse_norm[t] = 1.0f / __builtin_sqrtf(sum<L>(squares) + kUnitEpsilon);
    for (int64_t j = 0; j < width; j += L) at<L>(y + j) *= r;
  }
}

template <int L>
MNEME_ALWAYS_INLINE float dot(const float* x, const float* y, int64_t width) {
  Float<L> s = {};
  for (int64_t j = 0; j < width; j += L) s += at<L>(x + j) * at<L>(y + j);
  return sum<L>(s);
}

/// delta = J_φᵀ g, the way back through features whose gelu' is `slope`; with `clip`, rows longer than 1 are cut to length 1 and the factor
/// goes to clip[t]. delta may be g.
template <int L>
__attribute__((noinline)) void feature_gradient(Matrix slope, Matrix a, const float* inverse_norm, int64_t rows, int64_t columns, Matrix g,
                                                Matrix delta, float* clip) {
  const int64_t width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    const float *x = slope.row(t), *u = a.row(t), *in = g.row(t);
    float* y = delta.row(t);
    const float along = dot<L>(u, in, width), r = inverse_norm[t];
    Float<L> squares = {};
    for (int64_t j = 0; j < width; j += L) {
      const Float<L> through = (at<L>(in + j) - at<L>(u + j) * along) * r, d = through * at<L>(x + j);
      at<L>(y + j) = d;
      squares += d * d;
    }
    if (!clip) continue;
    const float scale = 1.0f / __builtin_sqrtf(sum<L>(squares) + kClipEpsilon);
    clip[t] = scale < 1 ? scale : 1;
    if (scale < 1)
      for (int64_t j = 0; j < width; j += L) at<L>(y + j) *= scale;
  }
}

}  // namespace
}  // namespace mneme::kernels
