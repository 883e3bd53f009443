// When the hand-written CPU kernels apply, and how they choose their type and share their work.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace mneme::nn {

/// CPU, fp32 or fp64, not empty: the fused kernels take it; anything else takes the plain operations.
inline bool fusable(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && x.numel() > 0;
}

/// Calls f(T{}) with T = float or double.
template <class F>
void dispatch_real(const at::Tensor& x, F&& f) {
  if (x.scalar_type() == at::kDouble)
    f(double{});
  else
    f(float{});
}

/// Rows of n elements per parallel task: enough work (16k elements) to be worth a thread.
inline int64_t grain(int64_t n) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(n, 1)); }

}  // namespace mneme::nn
