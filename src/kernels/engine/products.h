// Small matrix products in registers: blocks of R rows by two vectors, no packing, operands in L1/L2.
//
// On one core of a Zen 4 this reaches 98 % of the best library (libxsmm; docs/performance.md) and does what a library
// call cannot: skip the half of a triangular operand, and scale, mask or contract the result while it is in registers.
#pragma once

#include <utility>

#include "kernels/engine/scratch.h"
#include "kernels/engine/vector.h"

namespace mneme::kernels {
namespace {

struct Dims {
  int64_t rows, columns, depth;
};

/// Which part of an operand is known to be zero, or of the result is not wanted.
enum class Band {
  full,
  lower_result,  ///< only columns ≤ row are wanted (up to a block beyond are written)
  lower_left,    ///< left[i,k] = 0 for k > i
  upper_left,    ///< left[i,k] = 0 for k < i
};

struct Transposed {
  Matrix of;
};

template <int L>
constexpr int kBlockRows = L == 16 ? 8 : 4;

MNEME_ALWAYS_INLINE const float* left_block(const Matrix& a, int64_t i) { return a.row(i); }
MNEME_ALWAYS_INLINE const float* left_block(const Transposed& a, int64_t i) { return a.of.data + i; }
MNEME_ALWAYS_INLINE float left_entry(const Matrix& a, const float* block, int64_t r, int64_t k) { return block[r * a.stride + k]; }
MNEME_ALWAYS_INLINE float left_entry(const Transposed& a, const float* block, int64_t r, int64_t k) { return block[k * a.of.stride + r]; }

// R rows by V vectors of left · right, k from `begin` to `end`, given to the store.
template <int L, int R, int V, class Left, class Store>
MNEME_ALWAYS_INLINE void block(const Left& left, const Matrix& right, int64_t i, int64_t j, int64_t begin, int64_t end,
                               const Store& store) {
  Float<L> x[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) x[r][v] = Float<L>{};
  const float* a = left_block(left, i);
  for (int64_t k = begin; k < end; ++k) {
    const float* b = right.row(k) + j;
    Float<L> y[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) y[v] = at<L>(b + v * L);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) x[r][v] += left_entry(left, a, r, k) * y[v];
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    if constexpr (requires { store.row(i, j, x[r]); }) {
      store.row(i + r, j, x[r]);
    } else {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(i + r, j + v * L, x[r][v]);
    }
  }
}

// Columns [first, last) of R rows.
template <int L, int R, class Left, class Store>
MNEME_ALWAYS_INLINE void row_block(const Left& left, const Matrix& right, int64_t i, int64_t first, int64_t last, int64_t begin, int64_t end,
                                   const Store& store) {
  int64_t j = first;
  for (; j + 2 * L <= last; j += 2 * L) block<L, R, 2>(left, right, i, j, begin, end, store);
  for (; j < last; j += L) block<L, R, 1>(left, right, i, j, begin, end, store);
}

template <int L, int R, Band band, class Left, class Store>
MNEME_ALWAYS_INLINE void banded_row_block(const Dims& n, const Left& left, const Matrix& right, int64_t i, int64_t first, int64_t last,
                                          const Store& store) {
  const int64_t begin = band == Band::upper_left ? i : 0;
  const int64_t end = band == Band::lower_left && i + R < n.depth ? i + R : n.depth;
  int64_t limit = last;
  if (band == Band::lower_result && padded(i + R) < limit) limit = padded(i + R);
  row_block<L, R>(left, right, i, first, limit, begin, end, store);
}

/// store(i, j, vector) of left · right: [rows, depth] · [depth, columns]. Columns are rounded up to the padding.
template <int L, Band band = Band::full, class Left, class Store>
__attribute__((noinline)) void product(Dims n, Left left, Matrix right, Store store) {
  constexpr int R = kBlockRows<L>;
  constexpr int64_t panel = 64;  // columns whose part of `right` stays in L1 while the rows go by
  n.columns = padded(n.columns);
  for (int64_t first = 0; first < n.columns; first += panel) {
    const int64_t last = first + panel < n.columns ? first + panel : n.columns;
    int64_t i = 0;
    for (; i + R <= n.rows; i += R) banded_row_block<L, R, band>(n, left, right, i, first, last, store);
    for (; i < n.rows; ++i) banded_row_block<L, 1, band>(n, left, right, i, first, last, store);
  }
}

// What may become of a product's entries.

template <int L>
struct Set {
  Matrix to;
  float scale = 1;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const { at<L>(to.row(i) + j) = x * scale; }
};
template <int L>
struct Add {
  Matrix to;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const { at<L>(to.row(i) + j) += x; }
};
template <int L>
struct AddTimes {
  Matrix to;
  float scale;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const { at<L>(to.row(i) + j) += x * scale; }
};
template <int L>
struct SetScaled {  // rows times `scale`
  Matrix to;
  const float* scale;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const { at<L>(to.row(i) + j) = x * scale[i]; }
};
template <int L>
struct AddScaled {
  Matrix to;
  const float* scale;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const { at<L>(to.row(i) + j) += x * scale[i]; }
};
template <int L>
struct AddScaledDot {  // also the rows' dot products with `with`, before the scale, as L partial sums each
  Matrix to;
  const float* scale;
  Matrix with, dots;
  template <int V>
  MNEME_ALWAYS_INLINE void row(int64_t i, int64_t j, const Float<L> (&x)[V]) const {
    Float<L> dot = at<L>(dots.row(i));
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      at<L>(to.row(i) + j + v * L) += x[v] * scale[i];
      dot += x[v] * at<L>(with.row(i) + j + v * L);
    }
    at<L>(dots.row(i)) = dot;
  }
};
template <int L>
struct SetMasked {  // times a matrix and a number; `raw`, if there, keeps the product itself
  Matrix to, mask, raw;
  float scale = 1;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const {
    at<L>(to.row(i) + j) = x * at<L>(mask.row(i) + j) * scale;
    if (raw) at<L>(raw.row(i) + j) = x;
  }
};
template <int L>
struct SplitMasked {  // the gradient of a masked product: one for its mask (set or added), one for the product
  Matrix mask_gradient, raw;
  bool add;
  Matrix to, mask;
  float scale = 1;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const {
    x *= scale;
    const Float<L> y = x * at<L>(raw.row(i) + j);
    Float<L>& z = at<L>(mask_gradient.row(i) + j);
    z = add ? z + y : y;
    at<L>(to.row(i) + j) = x * at<L>(mask.row(i) + j);
  }
};
template <int L>
struct SetSum {  // a X + b Y + the product; Y may be absent
  Matrix to, X;
  float a;
  Matrix Y;
  float b;
  MNEME_ALWAYS_INLINE void operator()(int64_t i, int64_t j, Float<L> x) const {
    x += at<L>(X.row(i) + j) * a;
    if (Y) x += at<L>(Y.row(i) + j) * b;
    at<L>(to.row(i) + j) = x;
  }
};

// L vectors of L lanes, transposed in registers: log2 L rounds that swap the off-diagonal halves of ever larger blocks.
template <int L, int H, int... l>
MNEME_ALWAYS_INLINE Float<L> low_halves(Float<L> a, Float<L> b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & H ? L + l - H : l)...);
}
template <int L, int H, int... l>
MNEME_ALWAYS_INLINE Float<L> high_halves(Float<L> a, Float<L> b, std::integer_sequence<int, l...>) {
  return __builtin_shufflevector(a, b, (l & H ? L + l : l + H)...);
}
template <int L, int H>
MNEME_ALWAYS_INLINE void swap_halves(Float<L> (&x)[L]) {
  constexpr std::make_integer_sequence<int, L> lanes;
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i & H) continue;
    const Float<L> a = x[i], b = x[i + H];
    x[i] = low_halves<L, H>(a, b, lanes);
    x[i + H] = high_halves<L, H>(a, b, lanes);
  }
  if constexpr (2 * H < L) swap_halves<L, 2 * H>(x);
}

/// to = fromᵀ, [rows, columns] → [columns, padded rows], zeros in the padding; from's columns are padded.
template <int L>
__attribute__((noinline)) void transpose(Matrix from, int64_t rows, int64_t columns, Matrix to) {
  const int64_t end = padded(rows);
  for (int64_t i = 0; i < end; i += L)
    for (int64_t j = 0; j < columns; j += L) {
      Float<L> x[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r) x[r] = i + r < rows ? at<L>(from.row(i + r) + j) : Float<L>{};
      swap_halves<L, 1>(x);
#pragma GCC unroll 16
      for (int c = 0; c < L; ++c)
        if (j + c < columns) at<L>(to.row(j + c) + i) = x[c];
    }
}

}  // namespace
}  // namespace mneme::kernels
