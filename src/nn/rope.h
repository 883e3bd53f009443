// Rotary position embedding (Su et al. 2021, arXiv 2104.09864), pairs (2i, 2i+1), angle = position · base^(−2i/D).
// Angles are formed in fp64: in fp32 the phase is off by 0.1 rad at two million tokens.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::nn {

/// Cosines and sines for positions first … first+steps−1, kept between calls.
class RotaryTable {
 public:
  RotaryTable(int64_t head_width, double base) : head_width_(head_width), base_(base) {}
  /// [steps, D] of the asked dtype: D/2 cosines then D/2 sines a row.
  at::Tensor rows(int64_t first, int64_t steps, const at::TensorOptions& options);
  /// The same for positions of their own in each row: int64 [B,steps] → [B,steps,D].
  at::Tensor rows(const at::Tensor& positions, const at::TensorOptions& options) const;

 private:
  int64_t head_width_;
  double base_;
  int64_t first_ = 0;
  at::Tensor table_;
};

/// x [B,T,H,D] (any strides with a dense last dimension) rotated by the rows [T,D] or [B,T,D] of the table → [B,T,H,D].
at::Tensor rope(const at::Tensor& x, const at::Tensor& rows);
at::Tensor rope_reference(const at::Tensor& x, const at::Tensor& rows);

}  // namespace mneme::nn
