// Derivatives of the element-wise part of the MLP memory: the gradient through the inner gradient.
#pragma once

#include "kernels/engine/rows.h"

namespace mneme::kernels {
namespace {

/// feature_gradient() with `clip` backwards (clip null: not clipped). delta is its result, delta_bar the incoming gradient,
/// which becomes that of g. Sets h_bar and norm_bar, adds to a_bar.
template <int L>
__attribute__((noinline)) void feature_gradient_backward(Matrix slope, Matrix curve, Matrix a, const float* inverse_norm, Matrix g, Matrix delta,
                                                         const float* clip, int64_t rows, int64_t columns, Matrix delta_bar, Matrix a_bar,
                                                         Matrix h_bar, float* norm_bar) {
  const int64_t width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    const float *x = slope.row(t), *second = curve.row(t), *u = a.row(t), *gt = g.row(t), *dt = delta.row(t);
    float *bar = delta_bar.row(t), *u_bar = a_bar.row(t), *x_bar = h_bar.row(t);
    const float r = inverse_norm[t], along = dot<L>(u, gt, width);
    const float scale = clip ? clip[t] : 1, radial = scale < 1 ? dot<L>(bar, dt, width) : 0;
    Float<L> on_unit = {}, on_norm = {};
    for (int64_t j = 0; j < width; j += L) {
      const Float<L> unclipped_bar = (at<L>(bar + j) - at<L>(dt + j) * radial) * scale;
      const Float<L> rest = at<L>(gt + j) - at<L>(u + j) * along, through_bar = unclipped_bar * at<L>(x + j);
      at<L>(x_bar + j) = unclipped_bar * rest * at<L>(second + j) * r;
      at<L>(bar + j) = through_bar;
      on_unit += at<L>(u + j) * through_bar;
      on_norm += through_bar * rest;
    }
    norm_bar[t] = sum<L>(on_norm);
    const float along_bar = -r * sum<L>(on_unit), back_along = -r * along;
    for (int64_t j = 0; j < width; j += L) {
      const Float<L> through_bar = at<L>(bar + j);
      at<L>(u_bar + j) += through_bar * back_along + at<L>(gt + j) * along_bar;
      at<L>(bar + j) = through_bar * r + at<L>(u + j) * along_bar;
    }
  }
}

/// unit_features() backwards: adds to h_bar what comes through a (a_bar) and through the norm (norm_bar).
template <int L>
__attribute__((noinline)) void unit_features_backward(Matrix slope, Matrix a, const float* inverse_norm, int64_t rows, int64_t columns,
                                                      Matrix a_bar, const float* norm_bar, Matrix h_bar) {
  const int64_t width = padded(columns);
  for (int64_t t = 0; t < rows; ++t) {
    const float *x = slope.row(t), *u = a.row(t), *in = a_bar.row(t);
    float* y = h_bar.row(t);
    const float r = inverse_norm[t], radial = dot<L>(u, in, width) * r + norm_bar[t] * r * r;
    for (int64_t j = 0; j < width; j += L) at<L>(y + j) += (at<L>(in + j) * r - at<L>(u + j) * radial) * at<L>(x + j);
  }
}

}  // namespace
}  // namespace mneme::kernels
