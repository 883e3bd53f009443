// Backward of the two-layer MLP memory: tiles from the last to the first, each recomputed from the state at its start.
#pragma once

#include "memory/kernels/fused/layer_gradient.h"
#include "memory/kernels/fused/mlp_tile.h"
#include "memory/kernels/fused/rows_gradient.h"

namespace mneme::memory::fused {

template <int L>
struct MlpGradient {
  const MlpShape& s;
  MlpTile<L> t;
  typename MlpTile<L>::Raw raw;
  GradientBuffers<L> b;
  GateGradients<L> g_bar[2];
  Weights bar[2];                                // of the state at the running tile's end, then start
  Matrix R_bar[2];                               // of the running interval's refresh point
  Matrix q_bar, k_bar, y_bar, delta2_bar;        // [C,D]
  Matrix z_bar, a_bar, h_bar, delta1_bar, delta1T;  // [C,E], [E,C]
  Weights upT, downT;                            // transposed last and first layer
  float* norm_bar;

  MlpGradient(const MlpShape& shape, Arena& x) : s(shape), t(shape, x), b(x, kTileTokens, shape.width > shape.hidden ? shape.width : shape.hidden) {
    const int64_t C = kTileTokens, D = s.width, E = s.hidden;
    for (Matrix* m : {&raw.system, &raw.outer, &raw.inside1, &raw.inside2}) *m = x.matrix(C, C);
    for (GateGradients<L>& g : g_bar) g.place(x, C);
    for (int l = 0; l < 2; ++l) {
      bar[l] = {t.in(l), t.out(l), x.matrix(t.in(l), t.out(l)), {}, {}};
      if (s.momentum) bar[l].S = x.matrix(t.in(l), t.out(l));
      if (s.to_initial) bar[l].I = x.matrix(t.in(l), t.out(l));
      R_bar[l] = x.matrix(t.in(l), t.out(l));
    }
    for (Matrix* m : {&q_bar, &k_bar, &y_bar, &delta2_bar}) *m = x.matrix(C, D);
    for (Matrix* m : {&z_bar, &a_bar, &h_bar, &delta1_bar}) *m = x.matrix(C, E);
    delta1T = x.matrix(E, C);
    for (Matrix* m : {&upT.w, &upT.S, &upT.I}) *m = x.matrix(D, E);
    for (Matrix* m : {&downT.w, &downT.S, &downT.I}) *m = x.matrix(E, D);
    norm_bar = x.take(C);
  }

  bool has_refresh_point(int l) const { return l == 0 || !s.exact_last; }

  /// From the gradients of the final state.
  void start(const MlpGradientTask& task) {
    t.load_initial(*task.call);
    const bool at_point = (s.position + s.tokens) % s.refresh == 0;
    for (int l = 0; l < 2; ++l) {
      const int64_t in = t.in(l), out = t.out(l);
      auto load = [&](const float* from, Matrix to) { from ? load_rows<L>(from, out, in, out, to) : set_zero<L>(to, in); };
      load(task.end_weights[l], bar[l].w);
      load(has_refresh_point(l) ? task.end_refresh_point[l] : nullptr, R_bar[l]);
      if (s.momentum) load(task.end_momentum[l], bar[l].S);
      if (at_point) add_rows<L>(bar[l].w, R_bar[l], in), set_zero<L>(R_bar[l], in);
      if (s.to_initial) set_zero<L>(bar[l].I, in), add_rows<L>(bar[l].I, bar[l].w, in);
    }
  }

  void tile(const MlpGradientTask& task, const MlpSlot& slot, int64_t first, int64_t n) {
    t.errors(*task.call, slot, first, n, raw);
    t.features(slot, raw);
    product<L, Band::lower_result>({n, n, s.hidden}, t.z, t.aT, SetMasked<L>{t.inside2, t.g[1].K, raw.inside2});
    if (task.reads.data)
      t.load(task.reads, first, y_bar);
    else
      set_zero<L>(y_bar, n);
    for (Matrix m : {q_bar, k_bar, delta2_bar, z_bar, a_bar, delta1_bar}) set_zero<L>(m, n);
    g_bar[0].clear(), g_bar[1].clear();

    write_gradient<L>(t.weights(slot, 0), bar[0], downT, t.g[0], g_bar[0], n, t.k, t.delta1, k_bar, delta1_bar, b);
    write_gradient<L>(t.weights(slot, 1), bar[1], upT, t.g[1], g_bar[1], n, t.a, t.delta2, a_bar, delta2_bar, b);
    reads(slot, n);
    errors(slot, n);

    for (int l = 0; l < 2; ++l)
      g_bar[l].finish(t.g[l], n, task.theta[l] + first, task.alpha[l] + first, s.momentum ? task.eta[l] + first : nullptr);
    const int64_t D = s.width;
    add_rows<L>(q_bar, y_bar, n);
    add_rows<L>(k_bar, delta2_bar, n);
    for (int64_t i = 0; i < n * delta2_bar.stride; i += L) fused::at<L>(delta2_bar.data + i) = -fused::at<L>(delta2_bar.data + i);
    store_rows<L>(q_bar, n, D, task.query + first * D, D);
    store_rows<L>(k_bar, n, D, task.key + first * D, D);
    store_rows<L>(delta2_bar, n, D, task.value + first * D, D);
  }

  void reads(const MlpSlot& slot, int64_t n) {
    if (!s.exact_last) transpose<L>(t.delta2, n, s.width, t.deltaT);
    const Weights last = s.exact_last ? t.upT : transposed<L>(t.weights(slot, 1), upT);
    read_gradient<L>(last, bar[1], t.g[1], g_bar[1], n, t.z, t.a, t.deltaT, t.inside2, raw.inside2, y_bar, z_bar, a_bar, delta2_bar, b);
    feature_gradient<L>(t.hq, t.z, t.norm_z, n, s.hidden, z_bar, z_bar, nullptr);
    transpose<L>(t.delta1, n, s.hidden, delta1T);
    read_gradient<L>(transposed<L>(t.weights(slot, 0), downT), bar[0], t.g[0], g_bar[0], n, t.q, t.k, delta1T, t.inside1, raw.inside1,
                     z_bar, q_bar, k_bar, delta1_bar, b);
  }

  /// From delta1_bar and delta2_bar to k_bar and the gradient of −target, which is left in delta2_bar.
  void errors(const MlpSlot& slot, int64_t n) {
    const int64_t D = s.width, E = s.hidden;
    feature_gradient_backward<L>(t.h, t.a, t.norm, t.back, t.delta1, s.clip ? t.clip : nullptr, n, E, delta1_bar, a_bar, h_bar, norm_bar);
    const Matrix back_bar = delta1_bar;
    if (s.exact_last) {
      const Gates<L>& g = t.g[1];
      base_input_gradient<L>(t.weights(slot, 1), n, t.delta2, g.d - 1, g.m - 1, back_bar, delta2_bar, g_bar[1].d - 1, g_bar[1].m - 1, b);
      base_weight_gradient<L>(bar[1], n, back_bar, g.d - 1, g.m - 1, t.delta2, b);
      product<L, Band::lower_result>({n, n, E}, back_bar, t.aT, SplitMasked<L>{g_bar[1].K.before(), raw.outer, true, b.cut, g.K.before()});
      product<L, Band::upper_left>({n, E, n}, Transposed{t.outer}, back_bar, Add<L>{a_bar});
      product<L, Band::lower_left>({n, D, n}, b.cut, t.delta2, Add<L>{delta2_bar});
      product<L, Band::upper_left>({n, D, n}, Transposed{b.cut}, t.delta2, Add<L>{delta2_bar});
      exact_errors_gradient<L>(t.upT, bar[1], g, g_bar[1], n, t.a, t.deltaT, t.system, raw.system, delta2_bar, a_bar, b);
    } else {
      product<L>({n, D, E}, back_bar, t.R[1], Add<L>{delta2_bar});
      product<L>({E, D, n}, Transposed{back_bar}, t.delta2, Add<L>{R_bar[1]});
      stale_errors_gradient<L>(t.R[1], E, D, n, t.a, upT.w, delta2_bar, a_bar, R_bar[1]);
    }
    unit_features_backward<L>(t.h, t.a, t.norm, n, E, a_bar, norm_bar, h_bar);
    transpose<L>(t.R[0], D, E, downT.w);
    product<L>({n, D, E}, h_bar, downT.w, Add<L>{k_bar});
    product<L>({D, E, n}, Transposed{t.k}, h_bar, Add<L>{R_bar[0]});
  }

  /// At a tile that starts at a refresh point, R = w + I.
  void leave_interval() {
    for (int l = 0; l < 2; ++l) {
      if (!has_refresh_point(l)) continue;
      add_rows<L>(bar[l].w, R_bar[l], t.in(l));
      if (s.to_initial) add_rows<L>(bar[l].I, R_bar[l], t.in(l));
      set_zero<L>(R_bar[l], t.in(l));
    }
  }

  void finish(const MlpGradientTask& task) {
    for (int l = 0; l < 2; ++l) {
      const int64_t in = t.in(l), out = t.out(l);
      if (s.to_initial) {  // w = W − I at the start
        add_rows<L>(bar[l].I, bar[l].w, in, -1);
        store_rows<L>(bar[l].I, in, out, task.initial[l], out);
      }
      store_rows<L>(bar[l].w, in, out, task.weights[l], out);
      if (s.momentum) store_rows<L>(bar[l].S, in, out, task.momentum[l], out);
      if (task.refresh_point[l]) store_rows<L>(R_bar[l], in, out, task.refresh_point[l], out);
    }
  }
};

template <int L>
int64_t mlp_gradient_scratch(const MlpShape& s) {
  Arena count(nullptr);
  MlpGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void mlp_gradient(const MlpShape& s, const MlpGradientTask& task, float* scratch) {
  Arena arena(scratch);
  MlpGradient<L> gradient(s, arena);
  gradient.start(task);
  auto slot_at = [&](int64_t j) { return MlpSlot::at(s, task.call->slots + j * s.slot_floats); };
  IntervalWalk walk(s.refresh, s.position, s.tokens, s.tiles);
  for (TileSpan tile; walk.next(tile);) {
    if (tile.new_point) tile.point < 0 ? gradient.t.load_refresh_point(*task.call) : gradient.t.refresh(slot_at(tile.point));
    gradient.tile(task, slot_at(tile.index), tile.first, tile.size);
    if (tile.starts_at_point) gradient.leave_interval();
  }
  gradient.finish(task);
}

}  // namespace mneme::memory::fused
