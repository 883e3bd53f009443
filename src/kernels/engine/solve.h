// X ← (I + A)⁻¹ X and X ← (I + A)⁻ᵀ X, A strictly lower triangular, by substitution in blocks of rows: what earlier blocks
// contribute is a matrix product, only the corner on the diagonal goes row by row, in registers.
#pragma once

#include "kernels/engine/products.h"

namespace mneme::kernels {
namespace {

// Rows i … i+R−1 of X, R ≤ kBlockRows, V vectors from column j.
template <int L, int R, int V>
MNEME_ALWAYS_INLINE void solve_block(const Matrix& A, const Matrix& X, int64_t i, int64_t j) {
  Float<L> x[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) x[r][v] = at<L>(X.row(i + r) + j + v * L);
  for (int64_t k = 0; k < i; ++k)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) x[r][v] -= A.row(i + r)[k] * at<L>(X.row(k) + j + v * L);
#pragma GCC unroll 8
  for (int s = 0; s < R; ++s)
#pragma GCC unroll 8
    for (int r = s + 1; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) x[r][v] -= A.row(i + r)[i + s] * x[s][v];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) at<L>(X.row(i + r) + j + v * L) = x[r][v];
}

// The same with Aᵀ: what later rows, up to n, contribute, then the corner from its last row up.
template <int L, int R, int V>
MNEME_ALWAYS_INLINE void solve_transposed_block(const Matrix& A, const Matrix& X, int64_t i, int64_t j, int64_t n) {
  Float<L> x[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) x[r][v] = at<L>(X.row(i + r) + j + v * L);
  for (int64_t k = i + R; k < n; ++k)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) x[r][v] -= A.row(k)[i + r] * at<L>(X.row(k) + j + v * L);
#pragma GCC unroll 8
  for (int s = R - 1; s > 0; --s)
#pragma GCC unroll 8
    for (int r = 0; r < s; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) x[r][v] -= A.row(i + s)[i + r] * x[s][v];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) at<L>(X.row(i + r) + j + v * L) = x[r][v];
}

template <int L>
__attribute__((noinline)) void solve_unit_lower(Matrix A, Matrix X, int64_t rows, int64_t columns) {
  constexpr int R = kBlockRows<L>;
  const int64_t width = padded(columns);
  for (int64_t j = 0; j < width; j += 2 * L) {
    const bool two = j + 2 * L <= width;
    int64_t i = 0;
    for (; i + R <= rows; i += R) two ? solve_block<L, R, 2>(A, X, i, j) : solve_block<L, R, 1>(A, X, i, j);
    for (; i < rows; ++i) two ? solve_block<L, 1, 2>(A, X, i, j) : solve_block<L, 1, 1>(A, X, i, j);
  }
}

template <int L>
__attribute__((noinline)) void solve_unit_lower_transposed(Matrix A, Matrix X, int64_t rows, int64_t columns) {
  constexpr int R = kBlockRows<L>;
  const int64_t width = padded(columns);
  for (int64_t j = 0; j < width; j += 2 * L) {
    const bool two = j + 2 * L <= width;
    int64_t i = rows;
    for (; i % R; --i) two ? solve_transposed_block<L, 1, 2>(A, X, i - 1, j, rows) : solve_transposed_block<L, 1, 1>(A, X, i - 1, j, rows);
    for (; i > 0; i -= R)
      two ? solve_transposed_block<L, R, 2>(A, X, i - R, j, rows) : solve_transposed_block<L, R, 1>(A, X, i - R, j, rows);
  }
}

}  // namespace
}  // namespace mneme::kernels
