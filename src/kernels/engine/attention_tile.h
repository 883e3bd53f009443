// Softmax attention over a window or over everything before, tile by tile, forward and backward: 64 queries and, a block of up to
// kBlockKeys at a time, the keys they see.
//
// Scores lie key by key, Sᵀ = K Qᵀ (a vector is L queries), so that the softmax runs down the rows without sums across a vector,
// K and V need no transposing, and Sᵀ, Pᵀ serve both as left operand (gradients of keys) and, read down, of reads and queries:
//
//   O = P V      δ_i = Σ dO O      dPᵀ = V dOᵀ      dSᵀ = Pᵀ ∘ (dPᵀ − δ)
//   dQ = dS K / √D                 dK += dSᵀ Q / √D                dV += Pᵀ dO
//
// Forward, sums and O so far are rescaled when a block brings a larger score (Milakov and Gimelshein 2018, arXiv 1805.02867);
// backward, P comes from the kept log-sums (FlashAttention, Dao et al. 2022, arXiv 2205.14135).
// Row r of a block is seen by the tile's query i where oldest + i ≤ r ≤ newest + i; products skip what nobody sees.
#pragma once

#include "kernels/engine/products.h"
#include "kernels/engine/rows.h"

namespace mneme::kernels {
namespace {

constexpr int64_t kBlockKeys = 512;  ///< whose scores, keys and values stay in L2

/// e^x of a score below the largest or the sum; unseen entries hold any number, whose result is not used. NaN stays NaN.
template <int L>
MNEME_ALWAYS_INLINE Float<L> exp_of_score(Float<L> x) {
  return exp<L>(x > 0.0f ? Float<L>{} : x);
}

template <int L>
struct AttentionTile {
  static constexpr int kRows = kBlockRows<L>;
  static constexpr float kNever = -3e38f;

  const AttentionShape& s;
  Matrix keys, values;  // of the block: the caller's memory, or copies of rows that lie far apart
  Matrix key_copy, value_copy;
  Matrix q, qT, p, out;
  float *most, *sums;              // of each query so far: the largest score, Σ exp(score − most)
  int64_t first = 0, n = 0;        // queries
  int64_t rows = 0;                // keys of the block
  int64_t oldest = 0, newest = 0;

  AttentionTile(const AttentionShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, D = s.width, E = block_keys();
    key_copy = x.matrix(E, D), value_copy = x.matrix(E, D);
    q = x.matrix(C, D), qT = x.matrix(D, C), p = x.matrix(E, C), out = x.matrix(C, D);
    most = x.take(C), sums = x.take(C);
  }

  int64_t block_keys() const {
    const int64_t seen = s.window + kTileTokens - 1 < s.keys ? s.window + kTileTokens - 1 : s.keys, most_rows = seen > s.prefix ? seen : s.prefix;
    return most_rows < kBlockKeys ? most_rows : kBlockKeys;
  }

  /// Rows close together are used where they are; far apart, they would fall into few sets of the cache.
  Matrix at_hand(const Rows& from, int64_t row, Matrix copy) const {
    if (from.stride <= 2 * s.width) return {const_cast<float*>(from.data) + row * from.stride, from.stride};
    load_rows<L>(from.data + row * from.stride, from.stride, rows, s.width, copy);
    return copy;
  }

  void place(const AttentionTask& task, int64_t tile) {
    first = tile * kTileTokens;
    n = s.queries - first < kTileTokens ? s.queries - first : kTileTokens;
    load_rows<L>(task.query.data + first * task.query.stride, task.query.stride, n, s.width, q);
    transpose<L>(q, n, s.width, qT);
  }

  /// f(in the prefix?, first key) for every block that the tile sees, its keys and values in place.
  template <class F>
  void each_block(const AttentionTask& task, const F& f) {
    for (int64_t key = 0; key < s.prefix; key += kBlockKeys) {
      rows = s.prefix - key < kBlockKeys ? s.prefix - key : kBlockKeys;
      oldest = -kTileTokens, newest = rows;  // all queries see all
      keys = at_hand(task.prefix_key, key, key_copy), values = at_hand(task.prefix_value, key, value_copy);
      f(true, key);
    }
    const int64_t own = s.keys - s.queries + first, end = own + n;  // the first query's own key, the end of the last one's
    for (int64_t key = own >= s.window ? own - s.window + 1 : 0; key < end; key += kBlockKeys) {
      rows = end - key < kBlockKeys ? end - key : kBlockKeys;
      newest = own - key, oldest = newest - s.window + 1;
      keys = at_hand(task.key, key, key_copy), values = at_hand(task.value, key, value_copy);
      f(false, key);
    }
  }

  // The queries that see any of the block's rows j … j + count − 1 …
  int64_t first_query(int64_t j) const { return j - newest > 0 ? j - newest : 0; }
  int64_t end_query(int64_t j, int64_t count) const { return j + count - oldest < n ? j + count - oldest : n; }
  // … and the rows that any of queries i … i + count − 1 sees.
  int64_t first_row(int64_t i) const { return i + oldest > 0 ? i + oldest : 0; }
  int64_t end_row(int64_t i, int64_t count) const { return i + count + newest < rows ? i + count + newest : rows; }

  /// to = left · right · scale where a query sees the key, [keys, D] · [D, queries]
  __attribute__((noinline)) void by_key(Matrix left, Matrix right, Matrix to, float scale) const {
    auto block_row = [&]<int R>(int64_t j) __attribute__((always_inline)) {
      row_block<L, R>(left, right, j, first_query(j) / L * L, (end_query(j, R) + L - 1) / L * L, 0, s.width, Set<L>{to, scale});
    };
    int64_t j = 0;
    for (; j + kRows <= rows; j += kRows) block_row.template operator()<kRows>(j);
    for (; j < rows; ++j) block_row.template operator()<1>(j);
  }

  /// to += weightsᵀ · right · scale, [queries, keys] · [keys, D]
  __attribute__((noinline)) void add_by_query(Matrix weights, Matrix right, Matrix to, float scale) const {
    for (int64_t i = 0; i < n; i += kRows)  // rows past n are padding of the tile
      row_block<L, kRows>(Transposed{weights}, right, i, 0, s.width, first_row(i), end_row(i, kRows), AddTimes<L>{to, scale});
  }

  /// to += weights · right · scale, [keys, queries] · [queries, D]
  __attribute__((noinline)) void add_by_key(Matrix weights, Matrix right, Matrix to, float scale) const {
    auto block_row = [&]<int R>(int64_t j) __attribute__((always_inline)) {
      row_block<L, R>(weights, right, j, 0, s.width, first_query(j), end_query(j, R), AddTimes<L>{to, scale});
    };
    int64_t j = 0;
    for (; j + kRows <= rows; j += kRows) block_row.template operator()<kRows>(j);
    for (; j < rows; ++j) block_row.template operator()<1>(j);
  }

  /// f(row of Sᵀ, which of the L queries from i see it), over all rows that a product may read for these queries.
  template <class F>
  MNEME_ALWAYS_INLINE void each_row(int64_t i, const F& f) const {
    Int<L> query;
    for (int l = 0; l < L; ++l) query[l] = int32_t(i) + l;
    const int64_t begin = first_row(i) - kRows > 0 ? first_row(i) - kRows : 0, limit = end_row(i, L) + kRows, end = limit < rows ? limit : rows;
    for (int64_t j = begin; j < end; ++j) f(j, (query <= int32_t(j - oldest)) & (query >= int32_t(j - newest)));
  }

  /// Scores of the block become exp(score − most); `most`, sums and O so far follow.
  __attribute__((noinline)) void softmax() {
    for (int64_t i = 0; i < n; i += L) {
      const Float<L> before = at<L>(most + i);
      Float<L> now = before, added = {};
      each_row(i, [&](int64_t j, Int<L> seen) __attribute__((always_inline)) {
        const Float<L> x = at<L>(p.row(j) + i);
        now = seen & (Int<L>)(x > now) ? x : now;
      });
      each_row(i, [&](int64_t j, Int<L> seen) __attribute__((always_inline)) {
        Float<L>& x = at<L>(p.row(j) + i);
        const Float<L> e = exp_of_score<L>(x - now);
        x = seen ? e : Float<L>{};
        added += x;
      });
      const Float<L> scale = exp<L>(before - now);
      at<L>(most + i) = now, at<L>(sums + i) = at<L>(sums + i) * scale + added;
      for (int l = 0; l < L; ++l)
        if (scale[l] != 1)
          for (int64_t j = 0; j < s.width; j += L) at<L>(out.row(i + l) + j) *= scale[l];
    }
  }

  void forward(const AttentionTask& task, int64_t tile) {
    place(task, tile);
    set_zero<L>(out, kTileTokens);
    for (int64_t i = 0; i < kTileTokens; ++i) most[i] = kNever, sums[i] = 0;
    each_block(task, [&](bool, int64_t) {
      by_key(keys, qT, p, s.scale);
      softmax();
      add_by_query(p, values, out, 1);
    });
    for (int64_t i = 0; i < n; ++i) {
      const float inverse = 1 / sums[i];
      for (int64_t j = 0; j < s.width; j += L) at<L>(rows_of(task.out).row(first + i) + j) = at<L>(out.row(i) + j) * inverse;
      task.log_sum[first + i] = most[i] + __builtin_logf(sums[i]);
    }
  }
};

template <int L>
struct AttentionGradient {
  const AttentionShape& s;
  AttentionTile<L> t;
  Matrix out_bar, out_barT, ds, q_bar;
  float *log_sum, *along;

  AttentionGradient(const AttentionShape& shape, Arena& x) : s(shape), t(shape, x) {
    const int64_t C = kTileTokens, D = s.width;
    out_bar = x.matrix(C, D), out_barT = x.matrix(D, C), ds = x.matrix(t.block_keys(), C), q_bar = t.out;
    log_sum = x.take(C), along = x.take(C);
  }

  /// P from the kept sums, and dS in place of dP.
  __attribute__((noinline)) void softmax_gradient() {
    for (int64_t i = 0; i < t.n; i += L) {
      const Float<L> sum_i = at<L>(log_sum + i), along_i = at<L>(along + i);
      t.each_row(i, [&](int64_t j, Int<L> seen) __attribute__((always_inline)) {
        Float<L>&x = at<L>(t.p.row(j) + i), &y = at<L>(ds.row(j) + i);
        const Float<L> e = exp_of_score<L>(x - sum_i), d = e * (y - along_i);
        x = seen ? e : Float<L>{};
        y = seen ? d : Float<L>{};
      });
    }
  }

  void tile(const AttentionGradientTask& task, int64_t index) {
    const AttentionTask& call = *task.call;
    t.place(call, index);
    const int64_t n = t.n, D = s.width;
    load_rows<L>(task.out_bar.data + t.first * task.out_bar.stride, task.out_bar.stride, n, D, out_bar);
    transpose<L>(out_bar, n, D, out_barT);
    for (int64_t i = 0; i < padded(n); ++i) {
      log_sum[i] = i < n ? call.log_sum[t.first + i] : 0;
      along[i] = i < n ? dot<L>(out_bar.row(i), rows_of(call.out).row(t.first + i), D) : 0;
    }
    set_zero<L>(q_bar, kTileTokens);
    t.each_block(call, [&](bool prefix, int64_t key) {
      const Matrix key_bar = rows_of(prefix ? task.prefix_key : task.key), value_bar = rows_of(prefix ? task.prefix_value : task.value);
      t.by_key(t.keys, t.qT, t.p, s.scale);
      t.by_key(t.values, out_barT, ds, 1);
      softmax_gradient();
      t.add_by_query(ds, t.keys, q_bar, s.scale);
      t.add_by_key(ds, t.q, {key_bar.row(key), key_bar.stride}, s.scale);
      t.add_by_key(t.p, out_bar, {value_bar.row(key), value_bar.stride}, 1);
    });
    store_rows<L>(q_bar, n, D, rows_of(task.query).row(t.first), task.query.stride);
  }
};

template <int L>
int64_t attention_scratch(const AttentionShape& s) {
  Arena count(nullptr);
  AttentionTile<L> tile(s, count);
  return count.used();
}

template <int L>
void attention(const AttentionShape& s, const AttentionTask& task, int64_t tile, float* scratch) {
  Arena arena(scratch);
  AttentionTile<L>(s, arena).forward(task, tile);
}

template <int L>
int64_t attention_gradient_scratch(const AttentionShape& s) {
  Arena count(nullptr);
  AttentionGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void attention_gradient(const AttentionShape& s, const AttentionGradientTask& task, float* scratch) {
  Arena arena(scratch);
  AttentionGradient<L> gradient(s, arena);
  for (int64_t tile = 0; tile < s.tiles(); ++tile) gradient.tile(task, tile);
}

}  // namespace
}  // namespace mneme::kernels
