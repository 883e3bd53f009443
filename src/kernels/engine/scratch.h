// Matrices in scratch: rows padded to kPad floats with zeros, so that kernels have no column remainders.
#pragma once

#include "kernels/engine.h"

namespace mneme::kernels {
namespace {

struct Matrix {
  float* data = nullptr;
  int64_t stride = 0;

  float* row(int64_t i) const { return data + i * stride; }
  explicit operator bool() const { return data != nullptr; }
  /// The same rows, moved one down: row t is row t − 1, for tables whose row −1 exists.
  Matrix before() const { return {data - stride, stride}; }
};

MNEME_ALWAYS_INLINE Matrix rows_of(const RowsOut& rows) { return {rows.data, rows.stride}; }

/// Hands out aligned pieces of one block; with a null block it only counts.
class Arena {
 public:
  explicit Arena(float* block) : block_(block) {}

  float* take(int64_t floats) {
    float* piece = block_ ? block_ + used_ : nullptr;
    used_ += padded(floats);
    return piece;
  }
  Matrix matrix(int64_t rows, int64_t columns) {
    const int64_t stride = padded(columns);
    return {take(rows * stride), stride};
  }
  /// Row −1 exists too.
  Matrix matrix_with_row_before(int64_t rows, int64_t columns) {
    const Matrix m = matrix(rows + 1, columns);
    return {block_ ? m.data + m.stride : nullptr, m.stride};
  }
  float* vector_with_entry_before(int64_t n) {
    float* v = take(n + kPad);
    return v ? v + kPad : nullptr;
  }
  int64_t used() const { return used_; }

 private:
  float* block_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace mneme::kernels
