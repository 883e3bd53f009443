// Forward of the two-layer MLP memory, tile by tile (memory/kernels/mlp_chunked.cpp is the same in plain operations).
#pragma once

#include "memory/kernels/fused/slots.h"
#include "memory/kernels/fused/layer.h"
#include "memory/kernels/fused/rows.h"

namespace mneme::memory::fused {

template <int L>
struct MlpTile {
  const MlpShape& s;
  Matrix q, k, target;                    // [C,D]
  Matrix kT, aT, deltaT;                  // [D,C], [E,C], [D,C]
  Matrix h, a, back, delta1;              // [C,E] keys: pre-activations, features, error before and after their derivative
  Matrix hq, z;                           // [C,E] queries: pre-activations, features
  Matrix delta2, y;                       // [C,D] last layer's errors; reads
  Matrix system, outer, inside1, inside2; // [C,C]
  Matrix scaled;                          // [C, max(D,E)]
  Matrix R[2], I[2];
  Weights upT;                            // transposed last layer
  float *norm, *norm_z, *clip;            // [C]
  Gates<L> g[2];
  int64_t n = 0;                          // tokens of the tile

  MlpTile(const MlpShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, D = s.width, E = s.hidden;
    for (Matrix* m : {&q, &k, &target, &delta2, &y}) *m = x.matrix(C, D);
    for (Matrix* m : {&h, &a, &back, &delta1, &hq, &z}) *m = x.matrix(C, E);
    for (Matrix* m : {&system, &outer, &inside1, &inside2}) *m = x.matrix(C, C);
    kT = x.matrix(D, C), aT = x.matrix(E, C), deltaT = x.matrix(D, C);
    scaled = x.matrix(C, D > E ? D : E);
    R[0] = x.matrix(D, E), R[1] = x.matrix(E, D);
    if (s.to_initial) I[0] = x.matrix(D, E), I[1] = x.matrix(E, D);
    for (Matrix* m : {&upT.w, &upT.S, &upT.I}) *m = x.matrix(D, E);
    for (float** v : {&norm, &norm_z, &clip}) *v = x.take(C);
    for (Gates<L>& gates : g) gates.place(x, C);
  }

  int64_t in(int l) const { return l ? s.hidden : s.width; }
  int64_t out(int l) const { return l ? s.width : s.hidden; }
  Weights weights(const MlpSlot& slot, int l) const { return {in(l), out(l), slot.w[l], slot.S[l], I[l]}; }

  void load_initial(const MlpTask& task) {
    for (int l = 0; l < 2; ++l)
      if (s.to_initial) load_rows<L>(task.initial[l], out(l), in(l), out(l), I[l]);
  }

  void load_refresh_point(const MlpTask& task) {
    for (int l = 0; l < (s.exact_last ? 1 : 2); ++l) load_rows<L>(task.refresh_point[l], out(l), in(l), out(l), R[l]);
  }

  /// R = W of the slot.
  void refresh(const MlpSlot& slot) {
    for (int l = 0; l < (s.exact_last ? 1 : 2); ++l) whole_weights(slot, l, R[l]);
  }

  void whole_weights(const MlpSlot& slot, int l, Matrix to) const {
    for (int64_t i = 0; i < in(l) * to.stride; i += L) {
      Float<L> w = fused::at<L>(slot.w[l].data + i);
      if (s.to_initial) w += fused::at<L>(I[l].data + i);
      fused::at<L>(to.data + i) = w;
    }
  }

  struct Raw {  // products before their masks, which only the backward pass keeps
    Matrix system, outer, inside1, inside2;
  };

  /// Loads the tile's rows and gates, and finds features and errors of its keys.
  void errors(const MlpTask& task, const MlpSlot& slot, int64_t first, int64_t tokens, const Raw& raw = {}) {
    n = tokens;
    const int64_t D = s.width, E = s.hidden;
    load(task.query, first, q);
    load(task.key, first, k);
    load(task.value, first, target);
    for (int64_t i = 0; i < n * k.stride; i += L) fused::at<L>(target.data + i) -= fused::at<L>(k.data + i);
    for (int l = 0; l < 2; ++l)
      g[l].fill(task.theta[l] + first, task.alpha[l] + first, s.momentum ? task.eta[l] + first : nullptr, n);
    transpose<L>(k, n, D, kT);
    product<L>({n, E, D}, k, R[0], Set<L>{h});
    unit_features<L>(h, n, E, a, norm);
    transpose<L>(a, n, E, aT);
    if (s.exact_last) {
      const Weights up = weights(slot, 1);
      exact_errors<L>(up, g[1], n, a, aT, target, system, raw.system, delta2);
      upT = transposed<L>(up, upT);
      base<L>(upT, n, delta2, g[1].d - 1, g[1].m - 1, back);
      transpose<L>(delta2, n, D, deltaT);
      product<L, Band::lower_result>({n, n, D}, delta2, deltaT, SetMasked<L>{outer, g[1].K.before(), raw.outer});
      product<L, Band::lower_left>({n, E, n}, outer, a, Add<L>{back});
    } else {
      stale_errors<L>(R[1], E, D, n, a, target, delta2);
      transpose<L>(R[1], E, D, upT.w);
      product<L>({n, E, D}, delta2, upT.w, Set<L>{back});
    }
    feature_gradient<L>(h, a, norm, n, E, back, delta1, s.clip ? clip : nullptr);
  }

  /// Features of the queries.
  void features(const MlpSlot& slot, const Raw& raw = {}) {
    read<L>(weights(slot, 0), g[0], n, q, kT, delta1, inside1, raw.inside1, hq);
    unit_features<L>(hq, n, s.hidden, z, norm_z);
  }

  void reads(const MlpSlot& slot, float* to) {
    read<L>(weights(slot, 1), g[1], n, z, aT, delta2, inside2, Matrix{}, y);
    for (int64_t i = 0; i < n * y.stride; i += L) fused::at<L>(y.data + i) += fused::at<L>(q.data + i);
    store_rows<L>(y, n, s.width, to, s.width);
  }

  void writes(const MlpSlot& slot, const MlpSlot& next) {
    write<L>(weights(slot, 0), g[0], n, k, delta1, scaled, weights(next, 0));
    write<L>(weights(slot, 1), g[1], n, a, delta2, scaled, weights(next, 1));
  }

  void load(const Rows& rows, int64_t first, Matrix to) const {
    load_rows<L>(rows.data + first * rows.stride, rows.stride, n, s.width, to);
  }
};

template <int L>
int64_t mlp_scratch(const MlpShape& s) {
  Arena count(nullptr);
  MlpTile<L> tile(s, count);
  return count.used() + MlpSlot::floats(s);
}

template <int L>
void mlp(const MlpShape& s, const MlpTask& task, float* scratch) {
  Arena arena(scratch);
  MlpTile<L> tile(s, arena);
  float* own_slot = arena.take(MlpSlot::floats(s));
  auto slot_at = [&](int64_t j) { return MlpSlot::at(s, task.slots && j < s.tiles ? task.slots + j * s.slot_floats : own_slot); };
  tile.load_initial(task);
  MlpSlot slot = slot_at(0);
  for (int l = 0; l < 2; ++l) {
    load_rows<L>(task.weights[l], tile.out(l), tile.in(l), tile.out(l), slot.w[l]);
    if (s.to_initial)
      for (int64_t i = 0; i < tile.in(l) * slot.w[l].stride; i += L) at<L>(slot.w[l].data + i) -= at<L>(tile.I[l].data + i);
    if (s.momentum) load_rows<L>(task.momentum[l], tile.out(l), tile.in(l), tile.out(l), slot.S[l]);
  }
  if (s.position % s.refresh) tile.load_refresh_point(task);
  for (int64_t first = 0, j = 0; first < s.tokens; ++j) {
    const int64_t size = tile_size(s.refresh, s.position + first, s.tokens - first);
    if ((s.position + first) % s.refresh == 0) tile.refresh(slot);
    tile.errors(task, slot, first, size);
    tile.features(slot);
    tile.reads(slot, task.reads + first * s.width);
    const MlpSlot next = slot_at(j + 1);
    tile.writes(slot, next);
    slot = next;
    first += size;
  }
  if ((s.position + s.tokens) % s.refresh == 0) tile.refresh(slot);
  for (int l = 0; l < 2; ++l) {
    if (l == 0 || !s.exact_last) store_rows<L>(tile.R[l], tile.in(l), tile.out(l), task.end_refresh_point[l], tile.out(l));
    if (s.momentum) store_rows<L>(slot.S[l], tile.in(l), tile.out(l), task.end_momentum[l], tile.out(l));
    tile.whole_weights(slot, l, slot.w[l]);
    store_rows<L>(slot.w[l], tile.in(l), tile.out(l), task.end_weights[l], tile.out(l));
  }
}

}  // namespace mneme::memory::fused
