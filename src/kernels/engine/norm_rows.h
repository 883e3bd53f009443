// The element-wise part of the residual+norm form, row by row: plain gelu features, LayerNorm without gain, the errors it
// leads to, and all of it backwards.
#pragma once

#include "kernels/engine/rows.h"

namespace mneme::kernels {
namespace {

constexpr float kNormEpsilon = 1e-5f;

/// a = gelu(h); derivatives as in unit_features().
template <int L, int D>
__attribute__((noinline)) void gelu_rows(Matrix h, int64_t rows, Matrix a, Matrix curve = {}) {
  for (int64_t i = 0; i < rows * h.stride; i += L) {
    Float<L> slope, second;
    at<L>(a.data + i) = gelu<L, D>(at<L>(h.data + i), slope, second);
    if constexpr (D > 0) at<L>(h.data + i) = slope;
    if constexpr (D > 1) at<L>(curve.data + i) = second;
  }
}

/// to = x ⊙ y
template <int L>
void multiply_rows(Matrix x, Matrix y, int64_t rows, Matrix to) {
  for (int64_t i = 0; i < rows * x.stride; i += L) at<L>(to.data + i) = at<L>(x.data + i) * at<L>(y.data + i);
}

/// unit = (x − mean) · inverse, in place; columns beyond `columns` stay zero.
template <int L>
__attribute__((noinline)) void layer_norm_rows(Matrix x, int64_t rows, int64_t columns, float* inverse) {
  const int64_t width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    float* y = x.row(t);
    Float<L> total = {}, squares = {};
    for (int64_t j = 0; j < width; j += L) total += at<L>(y + j);
    const float mean = sum<L>(total) / float(columns);
    for (int64_t j = 0; j < width; j += L) at<L>(y + j) -= mean;
    for (int64_t j = columns; j < width; ++j) y[j] = 0;
    for (int64_t j = 0; j < width; j += L) squares += at<L>(y + j) * at<L>(y + j);
    inverse[t] = 1.0f / __builtin_sqrtf(sum<L>(squares) / float(columns) + kNormEpsilon);
    for (int64_t j = 0; j < width; j += L) at<L>(y + j) *= inverse[t];
  }
}

/// The way back through LayerNorm, in place: g ← inverse (g − mean(g) − unit mean(g unit)).
template <int L>
MNEME_ALWAYS_INLINE void layer_norm_gradient_row(const float* unit, float inverse, int64_t columns, float* g) {
  const int64_t width = padded(columns);
  Float<L> total = {};
  for (int64_t j = 0; j < width; j += L) total += at<L>(g + j);
  const float mean = sum<L>(total) / float(columns), along = dot<L>(g, unit, width) / float(columns);
  for (int64_t j = 0; j < width; j += L) at<L>(g + j) = (at<L>(g + j) - mean - at<L>(unit + j) * along) * inverse;
  for (int64_t j = columns; j < width; ++j) g[j] = 0;
}

/// Errors of the keys with M(k) = k + unit (1 + gain): e = c (M(k) − v), gain_delta = e unit, delta = the way back to the chain.
template <int L>
__attribute__((noinline)) void norm_errors(Matrix unit, const float* inverse, Matrix target, const float* gain, float factor, int64_t rows,
                                           int64_t columns, Matrix e, Matrix gain_delta, Matrix delta) {
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t j = 0; j < padded(columns); j += L) {
      const Float<L> u = at<L>(unit.row(t) + j), scale = at<L>(gain + j) + 1.0f;
      const Float<L> error = (u * scale - at<L>(target.row(t) + j)) * factor;
      at<L>(e.row(t) + j) = error;
      at<L>(gain_delta.row(t) + j) = error * u;
      at<L>(delta.row(t) + j) = error * scale;
    }
    layer_norm_gradient_row<L>(unit.row(t), inverse[t], columns, delta.row(t));
  }
}

/// norm_errors() backwards. delta_bar becomes the gradient of −target; chain_bar is set to that of the chain's output;
/// gain_bar is added to.
template <int L>
__attribute__((noinline)) void norm_errors_gradient(Matrix unit, const float* inverse, Matrix e, const float* gain, float factor,
                                                    int64_t rows, int64_t columns, Matrix delta, Matrix gain_delta_bar, Matrix delta_bar,
                                                    Matrix chain_bar, float* gain_bar) {
  const int64_t width = padded(columns);
  const float n = float(columns);
  for (int64_t t = 0; t < rows; ++t) {
    const float *u = unit.row(t), *et = e.row(t), r = inverse[t];
    float *bar = delta_bar.row(t), *out = chain_bar.row(t);
    const float on_inverse = dot<L>(bar, delta.row(t), width) / r, across = dot<L>(bar, u, width) / n;
    Float<L> along_sum = {};
    for (int64_t j = 0; j < width; j += L) along_sum += at<L>(et + j) * (at<L>(gain + j) + 1.0f) * at<L>(u + j);
    const float along = sum<L>(along_sum) / n;
    for (int64_t j = 0; j < width; j += L)
      at<L>(out + j) = (at<L>(bar + j) * along + at<L>(et + j) * (at<L>(gain + j) + 1.0f) * across) * -r;  // of unit
    layer_norm_gradient_row<L>(u, r, columns, bar);                                                        // of e (1 + gain)
    for (int64_t j = 0; j < width; j += L) {
      const Float<L> scale = at<L>(gain + j) + 1.0f, scaled_bar = at<L>(bar + j), of_gain = at<L>(gain_delta_bar.row(t) + j);
      const Float<L> e_bar = (scaled_bar * scale + of_gain * at<L>(u + j)) * factor;
      at<L>(gain_bar + j) += scaled_bar * at<L>(et + j) + e_bar * at<L>(u + j);
      at<L>(out + j) += of_gain * at<L>(et + j) + e_bar * scale;
      at<L>(bar + j) = e_bar;
    }
    layer_norm_gradient_row<L>(u, r, columns, out);
    for (int64_t j = 0; j < width; j += L) at<L>(out + j) -= at<L>(u + j) * (on_inverse * r * r / n);
  }
}

}  // namespace
}  // namespace mneme::kernels
