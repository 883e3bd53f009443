// Window attention tile by tile, forward and backward: 64 queries and the keys they see.
//
// Scores lie key by key, Sᵀ = K Qᵀ (a vector is L queries), so that the softmax runs down the rows without sums across a vector,
// K and V need no transposing, and Sᵀ, Pᵀ serve both as left operand (gradients of keys) and, read down, of reads and queries:
//
//   O = P V      δ_i = Σ dO O      dPᵀ = V dOᵀ      dSᵀ = Pᵀ ∘ (dPᵀ − δ)
//   dQ = dS K / √D                 dK += dSᵀ Q / √D                dV += Pᵀ dO
//
// Rows of Sᵀ are the prefix's keys, which every query sees, and then those of the window: query i of the tile sees rows
// oldest + i … newest + i of these. Blocks that nobody sees are skipped.
#pragma once

#include "memory/kernels/fused/products.h"
#include "memory/kernels/fused/rows.h"

namespace mneme::memory::fused {

template <int L>
struct WindowTile {
  static constexpr int kRows = kBlockRows<L>;
  static constexpr float kNever = -3e38f;

  const WindowShape& s;
  Matrix keys, values, prefix_keys, prefix_values;  // of the tile: the caller's memory, or copies of rows that lie far apart
  Matrix key_copy, value_copy, prefix_key_copy, prefix_value_copy;
  Matrix q, operandT, p, out;
  float *log_sum, *inverse_sum;
  int64_t first = 0, n = 0;        // queries
  int64_t first_key = 0, rows = 0;  // keys of the window
  int64_t oldest = 0, newest = 0;

  WindowTile(const WindowShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, D = s.width, most = s.window + C - 1 < s.keys ? s.window + C - 1 : s.keys;
    key_copy = x.matrix(most, D), value_copy = x.matrix(most, D);
    prefix_key_copy = x.matrix(s.prefix, D), prefix_value_copy = x.matrix(s.prefix, D);
    q = x.matrix(C, D), operandT = x.matrix(D, C), p = x.matrix(s.prefix + most, C), out = x.matrix(C, D);
    log_sum = x.take(C), inverse_sum = x.take(C);
  }

  Matrix window(Matrix m) const { return {m.row(s.prefix), m.stride}; }

  /// Rows close together are used where they are; far apart, they would fall into few sets of the cache.
  Matrix at_hand(const Rows& from, int64_t row, int64_t count, Matrix copy) const {
    if (from.stride <= 2 * s.width) return {const_cast<float*>(from.data) + row * from.stride, from.stride};
    load_rows<L>(from.data + row * from.stride, from.stride, count, s.width, copy);
    return copy;
  }

  void place(const WindowTask& task, int64_t tile) {
    first = tile * kTileTokens;
    n = s.queries - first < kTileTokens ? s.queries - first : kTileTokens;
    const int64_t own = s.keys - s.queries + first;  // the first query's own key
    first_key = own - s.window + 1 > 0 ? own - s.window + 1 : 0;
    rows = own + n - first_key;
    newest = own - first_key, oldest = newest - s.window + 1;
    keys = at_hand(task.key, first_key, rows, key_copy), values = at_hand(task.value, first_key, rows, value_copy);
    if (s.prefix) {
      prefix_keys = at_hand(task.prefix_key, 0, s.prefix, prefix_key_copy);
      prefix_values = at_hand(task.prefix_value, 0, s.prefix, prefix_value_copy);
    }
    load_rows<L>(task.query.data + first * task.query.stride, task.query.stride, n, s.width, q);
  }

  // The queries that see any of window rows j … j + count − 1 …
  int64_t first_query(int64_t j) const { return j - newest > 0 ? j - newest : 0; }
  int64_t end_query(int64_t j, int64_t count) const { return j + count - oldest < n ? j + count - oldest : n; }
  // … and the window rows that any of queries i … i + count − 1 sees.
  int64_t first_row(int64_t i) const { return i + oldest > 0 ? i + oldest : 0; }
  int64_t end_row(int64_t i, int64_t count) const { return i + count + newest < rows ? i + count + newest : rows; }

  /// to = left · operandT · scale, [keys, D] · [D, queries]: of window rows what queries see.
  __attribute__((noinline)) void by_key(Matrix left, int64_t count, bool banded, Matrix to, float scale) const {
    const Dims dims{count, n, s.width};
    auto block_row = [&]<int R>(int64_t j) __attribute__((always_inline)) {
      const int64_t begin = banded ? first_query(j) / L * L : 0, end = banded ? end_query(j, R) : n;
      row_block<L, R, Band::full>(dims, left, operandT, j, begin, (end + L - 1) / L * L, Set<L>{to, scale});
    };
    int64_t j = 0;
    for (; j + kRows <= count; j += kRows) block_row.template operator()<kRows>(j);
    for (; j < count; ++j) block_row.template operator()<1>(j);
  }

  /// to (+)= weightsᵀ · right, [queries, keys] · [keys, D]
  template <class Store>
  __attribute__((noinline)) void by_query(Matrix weights, Matrix right, int64_t count, bool banded, Store store) const {
    for (int64_t i = 0; i < n; i += kRows) {  // rows past n are padding of the tile
      const int64_t begin = banded ? first_row(i) : 0, end = banded ? end_row(i, kRows) : count;
      int64_t j = 0;
      for (; j + 2 * L <= s.width; j += 2 * L) block<L, kRows, 2>(Transposed{weights}, right, i, j, begin, end, store);
      for (; j < s.width; j += L) block<L, kRows, 1>(Transposed{weights}, right, i, j, begin, end, store);
    }
  }

  /// to += weights · right · scale, [keys, queries] · [queries, D]
  __attribute__((noinline)) void add_by_key(Matrix weights, Matrix right, int64_t count, bool banded, Matrix to, float scale) const {
    auto block_row = [&]<int R>(int64_t j) __attribute__((always_inline)) {
      const int64_t begin = banded ? first_query(j) : 0, end = banded ? end_query(j, R) : n;
      int64_t c = 0;
      for (; c + 2 * L <= s.width; c += 2 * L) block<L, R, 2>(weights, right, j, c, begin, end, AddTimes<L>{to, scale});
      for (; c < s.width; c += L) block<L, R, 1>(weights, right, j, c, begin, end, AddTimes<L>{to, scale});
    };
    int64_t j = 0;
    for (; j + kRows <= count; j += kRows) block_row.template operator()<kRows>(j);
    for (; j < count; ++j) block_row.template operator()<1>(j);
  }

  /// f(row of Sᵀ, which of the L queries from i see it), over all rows that a product may read for these queries.
  template <class F>
  MNEME_ALWAYS_INLINE void each_row(int64_t i, const F& f) const {
    Int<L> query;
    for (int l = 0; l < L; ++l) query[l] = int32_t(i) + l;
    const Int<L> all = query == query;
    for (int64_t j = 0; j < s.prefix; ++j) f(j, all);
    const int64_t begin = first_row(i) - kRows > 0 ? first_row(i) - kRows : 0, limit = end_row(i, L) + kRows, end = limit < rows ? limit : rows;
    for (int64_t j = begin; j < end; ++j) f(s.prefix + j, (query <= int32_t(j - oldest)) & (query >= int32_t(j - newest)));
  }

  void scores() {
    transpose<L>(q, n, s.width, operandT);
    by_key(prefix_keys, s.prefix, false, p, s.scale);
    by_key(keys, rows, true, window(p), s.scale);
  }

  /// P without its division by the sums, which go to log_sum and inverse_sum.
  __attribute__((noinline)) void softmax() {
    for (int64_t i = 0; i < n; i += L) {
      Float<L> most = Float<L>{} + kNever, sums = {};
      each_row(i, [&](int64_t j, Int<L> seen) {
        const Float<L> x = at<L>(p.row(j) + i);
        most = seen & (Int<L>)(x > most) ? x : most;
      });
      each_row(i, [&](int64_t j, Int<L> seen) {
        Float<L>& x = at<L>(p.row(j) + i);
        const Float<L> e = seen ? exp<L>(x - most) : Float<L>{};
        x = e;
        sums += e;
      });
      at<L>(inverse_sum + i) = 1.0f / sums;
      for (int l = 0; l < L; ++l) log_sum[i + l] = most[l] + __builtin_logf(sums[l]);
    }
  }

  void forward(const WindowTask& task, int64_t tile) {
    place(task, tile);
    scores();
    softmax();
    if (s.prefix) {
      by_query(p, prefix_values, s.prefix, false, SetScaled<L>{out, inverse_sum});
      by_query(window(p), values, rows, true, AddScaled<L>{out, inverse_sum});
    } else {
      by_query(p, values, rows, true, SetScaled<L>{out, inverse_sum});
    }
    store_rows<L>(out, n, s.width, task.out.row(first), task.out.stride);
    for (int64_t i = 0; i < n; ++i) task.log_sum[first + i] = log_sum[i];
  }
};

template <int L>
struct WindowGradient {
  const WindowShape& s;
  WindowTile<L> t;
  Matrix out_bar, ds;
  float* delta;

  WindowGradient(const WindowShape& shape, Arena& x) : s(shape), t(shape, x) {
    out_bar = x.matrix(kTileTokens, s.width);
    ds = x.matrix(s.prefix + (s.window + kTileTokens - 1 < s.keys ? s.window + kTileTokens - 1 : s.keys), kTileTokens);
    delta = x.take(kTileTokens);
  }

  /// P from the kept sums, and dS in place of dP.
  __attribute__((noinline)) void softmax_gradient() {
    for (int64_t i = 0; i < t.n; i += L) {
      const Float<L> log_sum = at<L>(t.log_sum + i), along = at<L>(delta + i);
      t.each_row(i, [&](int64_t j, Int<L> seen) {
        Float<L>&x = at<L>(t.p.row(j) + i), &y = at<L>(ds.row(j) + i);
        const Float<L> e = exp<L>(x - log_sum), d = e * (y - along);
        x = seen ? e : Float<L>{};
        y = seen ? d : Float<L>{};
      });
    }
  }

  void tile(const WindowGradientTask& task, int64_t index) {
    const WindowTask& call = *task.call;
    t.place(call, index);
    const int64_t n = t.n, D = s.width;
    t.scores();
    load_rows<L>(task.out_bar.data + t.first * task.out_bar.stride, task.out_bar.stride, n, D, out_bar);
    for (int64_t i = 0; i < padded(n); ++i) {
      t.log_sum[i] = i < n ? call.log_sum[t.first + i] : 0;
      delta[i] = i < n ? dot<L>(out_bar.row(i), call.out.row(t.first + i), D) : 0;
    }
    transpose<L>(out_bar, n, D, t.operandT);
    t.by_key(t.prefix_values, s.prefix, false, ds, 1);
    t.by_key(t.values, t.rows, true, t.window(ds), 1);
    softmax_gradient();
    if (s.prefix) {
      t.by_query(ds, t.prefix_keys, s.prefix, false, Set<L>{t.out, s.scale});
      t.by_query(t.window(ds), t.keys, t.rows, true, AddTimes<L>{t.out, s.scale});
      t.add_by_key(ds, t.q, s.prefix, false, task.prefix_key, s.scale);
      t.add_by_key(t.p, out_bar, s.prefix, false, task.prefix_value, 1);
    } else {
      t.by_query(ds, t.keys, t.rows, true, Set<L>{t.out, s.scale});
    }
    store_rows<L>(t.out, n, D, task.query.row(t.first), task.query.stride);
    t.add_by_key(t.window(ds), t.q, t.rows, true, {task.key.row(t.first_key), task.key.stride}, s.scale);
    t.add_by_key(t.window(t.p), out_bar, t.rows, true, {task.value.row(t.first_key), task.value.stride}, 1);
  }
};

template <int L>
int64_t window_scratch(const WindowShape& s) {
  Arena count(nullptr);
  WindowTile<L> tile(s, count);
  return count.used();
}

template <int L>
void window(const WindowShape& s, const WindowTask& task, int64_t tile, float* scratch) {
  Arena arena(scratch);
  WindowTile<L>(s, arena).forward(task, tile);
}

template <int L>
int64_t window_gradient_scratch(const WindowShape& s) {
  Arena count(nullptr);
  WindowGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void window_gradient(const WindowShape& s, const WindowGradientTask& task, float* scratch) {
  Arena arena(scratch);
  WindowGradient<L> gradient(s, arena);
  for (int64_t tile = 0; tile * kTileTokens < s.queries; ++tile) gradient.tile(task, tile);
}

}  // namespace mneme::memory::fused
