// Forward of the two-layer MLP memory, tile by tile (`chunked` in src/memory is the same in plain operations). A fast gain
// of residual+norm is a third layer whose input row is 1.
#pragma once

#include "kernels/engine/interval_guard.h"
#include "kernels/engine/layer.h"
#include "kernels/engine/norm_rows.h"
#include "kernels/engine/rows.h"
#include "kernels/engine/slots.h"

namespace mneme::kernels {
namespace {

template <int L>
struct MlpTile {
  const NetworkShape& s;
  Matrix q, k, target;                              // [C,D]
  Matrix kT, aT, deltaT;                            // [D,C], [E,C], [D,C]
  Matrix h, a, back, delta1;                        // [C,E] keys: pre-activations, then gelu' of them; features, error before and after
  Matrix hq, z;                                     // [C,E] queries: pre-activations, then gelu' of them if wanted; features
  Matrix delta2, y;                                 // [C,D] last layer's errors; reads
  Matrix unit, e, gain_delta, gamma;                // [C,D] residual+norm: keys' normalised outputs, errors, the gain's; queries' gain
  Matrix ones, onesT;                               // [C,1], [1,C]
  Matrix system, outer, inside1, inside2, inside3;  // [C,C]
  Matrix scaled;                                    // [C, max(D,E)]
  Matrix base1, seen;                               // [C,E], [C,C] sweeps: k W_1 without the tile's own writes; K' ⊙ k kᵀ
  Matrix R[kMaxFastWeights], own_R[kMaxFastWeights], I[kMaxFastWeights];  // refresh point's weights, a slot's or our own; initial weights
  Weights upT;                  // transposed last layer
  float *norm, *norm_z, *clip;  // [C] inverse norms of features, or of outputs; clip factors
  Gates<L> g[kMaxFastWeights];
  IntervalGuard<L> guard[2];
  int64_t n = 0;  // tokens of the tile

  MlpTile(const NetworkShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, D = s.width, E = s.hidden;
    for (Matrix* m : {&q, &k, &target, &delta2, &y}) *m = x.matrix(C, D);
    for (Matrix* m : {&h, &a, &back, &delta1, &hq, &z}) *m = x.matrix(C, E);
    for (Matrix* m : {&system, &outer, &inside1, &inside2, &inside3}) *m = x.matrix(C, C);
    kT = x.matrix(D, C), aT = x.matrix(E, C), deltaT = x.matrix(D, C);
    scaled = x.matrix(C, D > E ? D : E);
    for (int l = 0; l < kMaxFastWeights; ++l) {
      R[l] = own_R[l] = x.matrix(s.in(l), s.out(l));
      if (s.to_initial && l < s.layers()) I[l] = x.matrix(s.in(l), s.out(l));
    }
    if (s.norm()) {
      for (Matrix* m : {&unit, &e, &gain_delta, &gamma}) *m = x.matrix(C, D);
      ones = x.matrix(C, 1), onesT = x.matrix(1, C);
    }
    if (s.sweeps > 0) base1 = x.matrix(C, E), seen = x.matrix(C, C);
    for (Matrix* m : {&upT.w, &upT.S, &upT.I}) *m = x.matrix(D, E);
    float** const rows[] = {&norm, &norm_z, &clip};
    for (float** v : rows) *v = x.take(C);
    for (Gates<L>& gates : g) gates.place(x, C);
    if (s.guarded())
      for (IntervalGuard<L>& of_layer : guard) of_layer.place(x, C);
  }

  Weights weights(const NetworkSlot& slot, int l) const { return {s.in(l), s.out(l), slot.w[l], slot.S[l], I[l]}; }

  void load_matrix(const float* from, int l, Matrix to) const { load_rows<L>(from, s.out(l), s.in(l), s.out(l), to); }
  void store_matrix(Matrix from, int l, float* to) const { store_rows<L>(from, s.in(l), s.out(l), to, s.out(l)); }

  /// What is the same for all tiles: initial weights, a slow gain, rows of ones.
  void load_constants(const NetworkTask& task) {
    for (int l = 0; l < s.layers(); ++l)
      if (s.to_initial) load_matrix(task.initial[l], l, I[l]);
    if (!s.norm()) return;
    if (!s.fast_gain) task.refresh_point[2] ? load_matrix(task.refresh_point[2], 2, R[2]) : set_zero<L>(R[2], 1);
    set_zero<L>(ones, kTileTokens), set_zero<L>(onesT, 1);
    for (int64_t t = 0; t < kTileTokens; ++t) *ones.row(t) = onesT.data[t] = 1;
  }

  void load_refresh_point(const NetworkTask& task) {
    for (int l = 0; l < kMaxFastWeights; ++l)
      if (s.has_refresh_point(l)) load_matrix(task.refresh_point[l], l, R[l] = own_R[l]);
  }

  /// R = W of the slot, copied unless the slot holds W itself and `stays` as it is for the interval.
  void refresh(const NetworkSlot& slot, bool stays) {
    for (int l = 0; l < kMaxFastWeights; ++l) {
      if (!s.has_refresh_point(l)) continue;
      R[l] = stays && !s.to_initial ? slot.w[l] : own_R[l];
      if (R[l].data == own_R[l].data) whole_weights(slot, l, R[l]);
    }
  }

  void whole_weights(const NetworkSlot& slot, int l, Matrix to) const {
    for (int64_t i = 0; i < s.in(l) * to.stride; i += L) {
      Float<L> w = kernels::at<L>(slot.w[l].data + i);
      if (s.to_initial) w += kernels::at<L>(I[l].data + i);
      kernels::at<L>(to.data + i) = w;
    }
  }

  struct Raw {  // what only the backward pass keeps: products before their masks, gelu'' of the keys' pre-activations
    Matrix system, outer, inside1, inside2, inside3, seen, curve;
    Matrix swept;  // [sweeps · C, E] delta1 of each sweep but the last

    Matrix delta1_of(int64_t sweep) const { return {swept.row(sweep * kTileTokens), swept.stride}; }
  };

  /// Features of pre-activations x, which become gelu'(x) where D ≥ 1.
  template <int D>
  void activate(Matrix x, Matrix to, float* inverse_norm, Matrix curve = {}) {
    s.norm() ? gelu_rows<L, D>(x, n, to, curve) : unit_features<L, D>(x, n, s.hidden, to, inverse_norm, curve);
  }

  /// Loads the tile's rows and gates, and finds features and errors of its keys. With sweeps or a guard the tile is a refresh interval.
  void errors(const NetworkTask& task, const NetworkSlot& slot, int64_t first, int64_t tokens, const Raw& raw = {}) {
    n = tokens;
    const int64_t D = s.width, E = s.hidden;
    load(task.query, first, q);
    load(task.key, first, k);
    load(task.value, first, target);
    for (int64_t i = 0; i < n * k.stride; i += L) kernels::at<L>(target.data + i) -= kernels::at<L>(k.data + i);
    if (!s.guarded()) fill_gates(task, first, raw);
    transpose<L>(k, n, D, kT);
    if (s.exact_last) upT = transposed<L>(weights(slot, 1), upT);
    if (s.sweeps > 0) {
      base<L>(weights(slot, 0), n, k, g[0].d - 1, g[0].m - 1, base1);
      product<L, Band::lower_result>({n, n, D}, k, kT, SetMasked<L>{seen, g[0].K.before(), raw.seen});
    }
    product<L>({n, E, D}, k, R[0], Set<L>{h});
    key_errors(slot, raw);
    if (s.guarded()) fill_gates(task, first, raw);
    for (int64_t sweep = 1; sweep <= s.sweeps; ++sweep) {
      if (raw.swept) copy_rows<L>(delta1, n, raw.delta1_of(sweep - 1));
      own_features(delta1);
      key_errors(slot, raw);
    }
  }

  /// A guard shortens steps by the tile's keys and features.
  void fill_gates(const NetworkTask& task, int64_t first, const Raw& raw) {
    for (int l = 0; l < s.layers(); ++l) {
      const float *theta = task.theta[l] + first, *eta = s.momentum ? task.eta[l] + first : nullptr;
      if (s.guarded() && l < 2) {
        guard[l].shorten(l ? a : k, l ? aT : kT, n, s.in(l), theta, eta, s.factor / 2, s.guard_limit);
        theta = guard[l].theta;
      }
      g[l].fill(theta, task.alpha[l] + first, eta, n, bool(raw.inside1));
    }
  }

  /// Pre-activations of each key through the lower weights that its token would see, had the tile's tokens the errors `earlier`.
  void own_features(Matrix earlier) {
    copy_rows<L>(base1, n, h);
    product<L, Band::lower_left>({n, s.hidden, n}, seen, earlier, Add<L>{h});
  }

  /// Features and errors of the keys from their pre-activations, which become gelu' of them.
  void key_errors(const NetworkSlot& slot, const Raw& raw) {
    const int64_t D = s.width, E = s.hidden;
    raw.curve ? activate<2>(h, a, norm, raw.curve) : activate<1>(h, a, norm);
    transpose<L>(a, n, E, aT);
    if (s.norm()) {
      product<L>({n, D, E}, a, R[1], Set<L>{unit});
      layer_norm_rows<L>(unit, n, D, norm);
      norm_errors<L>(unit, norm, target, R[2].data, s.factor, n, D, e, gain_delta, delta2);
      stale_back(n);
      multiply_rows<L>(h, back, n, delta1);
      return;
    }
    if (s.exact_last) {
      exact_errors<L>(weights(slot, 1), g[1], s.factor, n, a, aT, target, system, raw.system, delta2);
      base<L>(upT, n, delta2, g[1].d - 1, g[1].m - 1, back);
      transpose<L>(delta2, n, D, deltaT);
      product<L, Band::lower_result>({n, n, D}, delta2, deltaT, SetMasked<L>{outer, g[1].K.before(), raw.outer});
      product<L, Band::lower_left>({n, E, n}, outer, a, Add<L>{back});
    } else {
      stale_errors<L>(R[1], s.factor, E, D, n, a, target, delta2);
      stale_back(n);
    }
    feature_gradient<L>(h, a, norm, n, E, back, delta1, s.clip ? clip : nullptr);
  }

  void stale_back(int64_t rows) {
    transpose<L>(R[1], s.hidden, s.width, upT.w);
    product<L>({rows, s.hidden, s.width}, delta2, upT.w, Set<L>{back});
  }

  /// Features of the queries.
  void features(const NetworkSlot& slot, const Raw& raw = {}) {
    read<L>(weights(slot, 0), g[0], n, q, kT, delta1, inside1, raw.inside1, hq);
    raw.inside1 ? activate<1>(hq, z, norm_z) : activate<0>(hq, z, norm_z);
  }

  /// The chain's output for the queries, into y; with residual+norm normalised, and their gain in gamma.
  void outputs(const NetworkSlot& slot, const Raw& raw = {}) {
    read<L>(weights(slot, 1), g[1], n, z, aT, delta2, inside2, raw.inside2, y);
    if (!s.norm()) return;
    layer_norm_rows<L>(y, n, s.width, norm_z);
    if (s.fast_gain)
      read<L>(weights(slot, 2), g[2], n, ones, onesT, gain_delta, inside3, raw.inside3, gamma);
    else
      for (int64_t t = 0; t < n; ++t) load_rows<L>(R[2].data, 0, 1, s.width, {gamma.row(t), gamma.stride});
  }

  void reads(const NetworkSlot& slot, float* to) {
    outputs(slot);
    for (int64_t i = 0; i < n * y.stride; i += L) {
      Float<L> x = kernels::at<L>(y.data + i);
      if (s.norm()) x *= kernels::at<L>(gamma.data + i) + 1.0f;
      kernels::at<L>(y.data + i) = x + kernels::at<L>(q.data + i);
    }
    store_rows<L>(y, n, s.width, to, s.width);
  }

  void writes(const NetworkSlot& slot, const NetworkSlot& next) {
    write<L>(weights(slot, 0), g[0], n, k, delta1, scaled, weights(next, 0));
    write<L>(weights(slot, 1), g[1], n, a, delta2, scaled, weights(next, 1));
    if (s.fast_gain) write<L>(weights(slot, 2), g[2], n, ones, gain_delta, scaled, weights(next, 2));
  }

  void load(const Rows& rows, int64_t first, Matrix to) const {
    load_rows<L>(rows.data + first * rows.stride, rows.stride, n, s.width, to);
  }
};

template <int L>
int64_t mlp_scratch(const NetworkShape& s) {
  Arena count(nullptr);
  MlpTile<L> tile(s, count);
  return count.used() + NetworkSlot::floats(s);
}

template <int L>
void mlp(const NetworkShape& s, const NetworkTask& task, float* scratch) {
  Arena arena(scratch);
  MlpTile<L> tile(s, arena);
  float* own_slot = arena.take(NetworkSlot::floats(s));
  auto slot_at = [&](int64_t j) { return NetworkSlot::at(s, task.slots && j < s.tiles ? task.slots + j * s.slot_floats : own_slot); };
  tile.load_constants(task);
  NetworkSlot slot = slot_at(0);
  for (int l = 0; l < s.layers(); ++l) {
    tile.load_matrix(task.weights[l], l, slot.w[l]);
    if (s.to_initial) add_rows<L>(slot.w[l], tile.I[l], s.in(l), -1);
    if (s.momentum) tile.load_matrix(task.momentum[l], l, slot.S[l]);
  }
  if (s.position % s.refresh) tile.load_refresh_point(task);
  for (int64_t first = 0, j = 0; first < s.tokens; ++j) {
    const int64_t size = tile_size(s.refresh, s.position + first, s.tokens - first);
    if ((s.position + first) % s.refresh == 0) tile.refresh(slot, task.slots || size == s.refresh);
    tile.errors(task, slot, first, size);
    tile.features(slot);
    tile.reads(slot, task.reads + first * s.width);
    const NetworkSlot next = slot_at(j + 1);
    tile.writes(slot, next);
    slot = next;
    first += size;
  }
  if ((s.position + s.tokens) % s.refresh == 0) tile.refresh(slot, true);
  for (int l = 0; l < s.layers(); ++l) {
    if (s.has_refresh_point(l)) tile.store_matrix(tile.R[l], l, task.end_refresh_point[l]);
    if (s.momentum) tile.store_matrix(slot.S[l], l, task.end_momentum[l]);
    tile.whole_weights(slot, l, slot.w[l]);
    tile.store_matrix(slot.w[l], l, task.end_weights[l]);
  }
}

}  // namespace
}  // namespace mneme::kernels
