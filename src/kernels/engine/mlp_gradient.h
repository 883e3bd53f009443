// Backward of the two-layer MLP memory: tiles from the last to the first, each recomputed from the state at its start.
#pragma once

#include "kernels/engine/layer_gradient.h"
#include "kernels/engine/mlp_tile.h"
#include "kernels/engine/rows_gradient.h"

namespace mneme::kernels {
namespace {

template <int L>
struct MlpGradient {
  const NetworkShape& s;
  MlpTile<L> t;
  typename MlpTile<L>::Raw raw;
  GradientBuffers<L> b;
  GateGradients<L> g_bar[kMaxFastWeights];
  Weights bar[kMaxFastWeights];                                   // of the state at the running tile's end, then start
  Matrix R_bar[kMaxFastWeights];                                  // of the running interval's refresh point
  Matrix q_bar, k_bar, y_bar, delta2_bar;           // [C,D]
  Matrix z_bar, a_bar, h_bar, delta1_bar, delta1T;  // [C,E], [E,C]
  Matrix gamma_bar, gain_delta_bar, chain_bar;      // [C,D] residual+norm
  Matrix gain_deltaT, ones_bar;                     // [D,C], [C,1]
  Matrix base1_bar, target_bar;                     // [C,E], [C,D] sweeps: sums over them; of −target
  Weights upT, downT, gainT;                        // transposed last and first layer, and gain
  Weights down;                                     // the first layer of the tile's start, in downT until lower_input
  float* norm_bar;

  MlpGradient(const NetworkShape& shape, Arena& x)
      : s(shape), t(shape, x), b(x, kTileTokens, shape.width > shape.hidden ? shape.width : shape.hidden) {
    const int64_t C = kTileTokens, D = s.width, E = s.hidden;
    for (Matrix* m : {&raw.system, &raw.outer, &raw.inside1, &raw.inside2, &raw.inside3}) *m = x.matrix(C, C);
    for (GateGradients<L>& g : g_bar) g.place(x, C);
    for (int l = 0; l < kMaxFastWeights; ++l) {
      bar[l] = {s.in(l), s.out(l), x.matrix(s.in(l), s.out(l)), {}, {}};
      if (s.momentum) bar[l].S = x.matrix(s.in(l), s.out(l));
      if (s.to_initial) bar[l].I = x.matrix(s.in(l), s.out(l));
      R_bar[l] = x.matrix(s.in(l), s.out(l));
    }
    if (s.norm()) {
      for (Matrix* m : {&gamma_bar, &gain_delta_bar, &chain_bar}) *m = x.matrix(C, D);
      for (Matrix* m : {&gainT.w, &gainT.S, &gainT.I}) *m = x.matrix(D, 1);
      gain_deltaT = x.matrix(D, C), ones_bar = x.matrix(C, 1);
    }
    for (Matrix* m : {&q_bar, &k_bar, &y_bar, &delta2_bar}) *m = x.matrix(C, D);
    for (Matrix* m : {&z_bar, &a_bar, &h_bar, &delta1_bar, &raw.curve}) *m = x.matrix(C, E);
    delta1T = x.matrix(E, C);
    if (s.sweeps > 0) {
      raw.seen = x.matrix(C, C), raw.swept = x.matrix(s.sweeps * C, E);
      base1_bar = x.matrix(C, E), target_bar = x.matrix(C, D);
    }
    for (Matrix* m : {&upT.w, &upT.S, &upT.I}) *m = x.matrix(D, E);
    for (Matrix* m : {&downT.w, &downT.S, &downT.I}) *m = x.matrix(E, D);
    norm_bar = x.take(C);
  }

  /// From the gradients of the final state.
  void start(const NetworkGradientTask& task) {
    t.load_constants(*task.call);
    const bool at_point = (s.position + s.tokens) % s.refresh == 0;
    for (int l = 0; l < kMaxFastWeights; ++l) {
      const int64_t in = s.in(l);
      auto load = [&](const float* from, Matrix to) { from ? t.load_matrix(from, l, to) : set_zero<L>(to, in); };
      load(s.has_refresh_point(l) ? task.end_refresh_point[l] : nullptr, R_bar[l]);
      if (l >= s.layers()) continue;
      load(task.end_weights[l], bar[l].w);
      if (s.momentum) load(task.end_momentum[l], bar[l].S);
      if (at_point) add_rows<L>(bar[l].w, R_bar[l], in), set_zero<L>(R_bar[l], in);
      if (s.to_initial) set_zero<L>(bar[l].I, in), add_rows<L>(bar[l].I, bar[l].w, in);
    }
  }

  void tile(const NetworkGradientTask& task, const NetworkSlot& slot, int64_t first, int64_t n) {
    t.errors(*task.call, slot, first, n, raw);
    t.features(slot, raw);
    if (s.norm())
      t.outputs(slot, raw);
    else
      product<L, Band::lower_result>({n, n, s.hidden}, t.z, t.aT, SetMasked<L>{t.inside2, t.g[1].K, raw.inside2});
    if (task.reads.data)
      t.load(task.reads, first, y_bar);
    else
      set_zero<L>(y_bar, n);
    for (Matrix m : {q_bar, k_bar, delta2_bar, z_bar, a_bar, delta1_bar}) set_zero<L>(m, n);
    for (int l = 0; l < s.layers(); ++l) g_bar[l].clear();

    add_rows<L>(q_bar, y_bar, n);
    write_gradient<L>(t.weights(slot, 0), bar[0], downT, t.g[0], g_bar[0], n, t.k, t.delta1, k_bar, delta1_bar, b);
    write_gradient<L>(t.weights(slot, 1), bar[1], upT, t.g[1], g_bar[1], n, t.a, t.delta2, a_bar, delta2_bar, b);
    if (s.norm()) gain(slot, n);
    reads(slot, n);
    if (!s.exact_last) gates(task, first, n);  // a guard's steps depend on the keys' features
    s.norm() ? norm_errors(n) : errors(slot, n);
    if (s.sweeps > 0) sweeps(slot, n);
    lower_input(n);
    if (s.exact_last) gates(task, first, n);

    const int64_t D = s.width;
    add_rows<L>(k_bar, delta2_bar, n);
    for (int64_t i = 0; i < n * delta2_bar.stride; i += L) kernels::at<L>(delta2_bar.data + i) = -kernels::at<L>(delta2_bar.data + i);
    store_rows<L>(q_bar, n, D, task.query + first * D, D);
    store_rows<L>(k_bar, n, D, task.key + first * D, D);
    store_rows<L>(delta2_bar, n, D, task.value + first * D, D);
  }

  void gates(const NetworkGradientTask& task, int64_t first, int64_t n) {
    for (int l = 0; l < s.layers(); ++l) {
      float *theta = task.theta[l] + first, *eta = s.momentum ? task.eta[l] + first : nullptr;
      g_bar[l].finish(t.g[l], n, theta, task.alpha[l] + first, eta);
      if (!s.guarded() || l == 2) continue;
      t.guard[l].gradient(l ? t.a : t.k, n, s.in(l), task.call->theta[l] + first, eta ? task.call->eta[l] + first : nullptr, s.factor / 2,
                          s.guard_limit, theta, eta, l ? a_bar : k_bar, b.cut);
    }
  }

  /// From the reads' gradient to that of the chain's output, in y_bar; and the gain's write and read.
  void gain(const NetworkSlot& slot, int64_t n) {
    set_zero<L>(gain_delta_bar, n);
    for (int64_t i = 0; i < n * y_bar.stride; i += L) {
      const Float<L> y = kernels::at<L>(y_bar.data + i);
      kernels::at<L>(gamma_bar.data + i) = y * kernels::at<L>(t.y.data + i);
      kernels::at<L>(y_bar.data + i) = y * (kernels::at<L>(t.gamma.data + i) + 1.0f);
    }
    for (int64_t i = 0; i < n; ++i) layer_norm_gradient_row<L>(t.y.row(i), t.norm_z[i], s.width, y_bar.row(i));
    if (!s.fast_gain) {
      for (int64_t i = 0; i < n; ++i) add_rows<L>(R_bar[2], {gamma_bar.row(i), gamma_bar.stride}, 1);
      return;
    }
    const Weights x = t.weights(slot, 2);
    set_zero<L>(ones_bar, n);
    write_gradient<L>(x, bar[2], gainT, t.g[2], g_bar[2], n, t.ones, t.gain_delta, ones_bar, gain_delta_bar, b);
    transpose<L>(t.gain_delta, n, s.width, gain_deltaT);
    read_gradient<L>(transposed<L>(x, gainT), bar[2], t.g[2], g_bar[2], n, t.ones, t.ones, gain_deltaT, t.inside3, raw.inside3, gamma_bar,
                     ones_bar, ones_bar, gain_delta_bar, b);
  }

  void reads(const NetworkSlot& slot, int64_t n) {
    if (!s.exact_last) transpose<L>(t.delta2, n, s.width, t.deltaT);
    const Weights last = s.exact_last ? t.upT : transposed<L>(t.weights(slot, 1), upT);
    read_gradient<L>(last, bar[1], t.g[1], g_bar[1], n, t.z, t.a, t.deltaT, t.inside2, raw.inside2, y_bar, z_bar, a_bar, delta2_bar, b);
    if (s.norm())
      multiply_rows<L>(t.hq, z_bar, n, z_bar);
    else
      feature_gradient<L>(t.hq, t.z, t.norm_z, n, s.hidden, z_bar, z_bar, nullptr);
    transpose<L>(t.delta1, n, s.hidden, delta1T);
    down = transposed<L>(t.weights(slot, 0), downT);
    read_gradient<L>(down, bar[0], t.g[0], g_bar[0], n, t.q, t.k, delta1T, t.inside1, raw.inside1,
                     z_bar, q_bar, k_bar, delta1_bar, b);
  }

  /// From delta1_bar and delta2_bar to h_bar and the gradient of −target, which is left in delta2_bar.
  void errors(const NetworkSlot& slot, int64_t n) {
    const int64_t D = s.width, E = s.hidden;
    feature_gradient_backward<L>(t.h, raw.curve, t.a, t.norm, t.back, t.delta1, s.clip ? t.clip : nullptr, n, E, delta1_bar, a_bar, h_bar,
                                 norm_bar);
    const Matrix back_bar = delta1_bar;
    if (s.exact_last) {
      const Gates<L>& g = t.g[1];
      base_input_gradient<L>(t.weights(slot, 1), n, t.delta2, g.d - 1, g.m - 1, back_bar, delta2_bar, g_bar[1].d - 1, g_bar[1].m - 1, b);
      base_weight_gradient<L>(bar[1], n, back_bar, g.d - 1, g.m - 1, t.delta2, b);
      product<L, Band::lower_result>({n, n, E}, back_bar, t.aT, SplitMasked<L>{g_bar[1].K.before(), raw.outer, true, b.cut, g.K.before()});
      product<L, Band::upper_left>({n, E, n}, Transposed{t.outer}, back_bar, Add<L>{a_bar});
      product<L, Band::lower_left>({n, D, n}, b.cut, t.delta2, Add<L>{delta2_bar});
      product<L, Band::upper_left>({n, D, n}, Transposed{b.cut}, t.delta2, Add<L>{delta2_bar});
      exact_errors_gradient<L>(t.upT, bar[1], g, g_bar[1], s.factor, n, t.a, t.deltaT, t.system, raw.system, delta2_bar, a_bar, b);
    } else {
      stale_back(n);
      stale_errors_gradient<L>(t.upT.w, s.factor, E, D, n, t.a, delta2_bar, a_bar, R_bar[1]);
    }
    unit_features_backward<L>(t.h, t.a, t.norm, n, E, a_bar, norm_bar, h_bar);
  }

  /// From h_bar of the last sweep to that of the refresh point's features, each sweep's tile worked out again from the errors before it.
  void sweeps(const NetworkSlot& slot, int64_t n) {
    const int64_t D = s.width, E = s.hidden;
    const Gates<L>& g = t.g[0];
    set_zero<L>(base1_bar, n), set_zero<L>(target_bar, n);
    for (int64_t sweep = s.sweeps; sweep > 0; --sweep) {
      add_rows<L>(base1_bar, h_bar, n), add_rows<L>(target_bar, delta2_bar, n);
      transpose<L>(raw.delta1_of(sweep - 1), n, E, delta1T);
      product<L, Band::lower_result>({n, n, E}, h_bar, delta1T, SplitMasked<L>{g_bar[0].K.before(), raw.seen, true, b.cut, g.K.before()});
      product<L, Band::lower_left>({n, D, n}, b.cut, t.k, Add<L>{k_bar});
      product<L, Band::upper_left>({n, D, n}, Transposed{b.cut}, t.k, Add<L>{k_bar});
      for (Matrix m : {delta1_bar, delta2_bar, a_bar}) set_zero<L>(m, n);
      product<L, Band::upper_left>({n, E, n}, Transposed{t.seen}, h_bar, Add<L>{delta1_bar});
      if (sweep > 1)
        t.own_features(raw.delta1_of(sweep - 2));
      else
        product<L>({n, E, D}, t.k, t.R[0], Set<L>{t.h});
      t.key_errors(slot, raw);
      errors(slot, n);
    }
    add_rows<L>(delta2_bar, target_bar, n);
    base_input_gradient<L>(down, n, t.k, g.d - 1, g.m - 1, base1_bar, k_bar, g_bar[0].d - 1, g_bar[0].m - 1, b);
    base_weight_gradient<L>(bar[0], n, t.k, g.d - 1, g.m - 1, base1_bar, b);
  }

  /// The same for residual+norm.
  void norm_errors(int64_t n) {
    const int64_t D = s.width, E = s.hidden;
    multiply_rows<L>(delta1_bar, t.back, n, h_bar);
    multiply_rows<L>(raw.curve, h_bar, n, h_bar);
    multiply_rows<L>(t.h, delta1_bar, n, delta1_bar);
    stale_back(n);
    norm_errors_gradient<L>(t.unit, t.norm, t.e, t.R[2].data, s.factor, n, D, t.delta2, gain_delta_bar, delta2_bar, chain_bar,
                            R_bar[2].data);
    product<L>({n, E, D}, chain_bar, t.upT.w, Add<L>{a_bar});
    product<L>({E, D, n}, Transposed{t.a}, chain_bar, Add<L>{R_bar[1]});
    multiply_rows<L>(t.h, a_bar, n, a_bar);
    add_rows<L>(h_bar, a_bar, n);
  }

  /// back = Δ_2 R_2ᵀ, whose gradient is in delta1_bar.
  void stale_back(int64_t n) {
    product<L>({n, s.width, s.hidden}, delta1_bar, t.R[1], Add<L>{delta2_bar});
    product<L>({s.hidden, s.width, n}, Transposed{delta1_bar}, t.delta2, Add<L>{R_bar[1]});
  }

  /// h = k R_1
  void lower_input(int64_t n) {
    transpose<L>(t.R[0], s.width, s.hidden, downT.w);
    product<L>({n, s.width, s.hidden}, h_bar, downT.w, Add<L>{k_bar});
    product<L>({s.width, s.hidden, n}, Transposed{t.k}, h_bar, Add<L>{R_bar[0]});
  }

  /// At a tile that starts at a refresh point, R = w + I.
  void leave_interval() {
    for (int l = 0; l < kMaxFastWeights; ++l) {
      if (!s.has_refresh_point(l)) continue;
      add_rows<L>(bar[l].w, R_bar[l], s.in(l));
      if (s.to_initial) add_rows<L>(bar[l].I, R_bar[l], s.in(l));
      set_zero<L>(R_bar[l], s.in(l));
    }
  }

  void finish(const NetworkGradientTask& task) {
    for (int l = 0; l < kMaxFastWeights; ++l) {
      if (task.refresh_point[l]) t.store_matrix(R_bar[l], l, task.refresh_point[l]);
      if (l >= s.layers()) continue;
      if (s.to_initial) {  // w = W − I at the start
        add_rows<L>(bar[l].I, bar[l].w, s.in(l), -1);
        t.store_matrix(bar[l].I, l, task.initial[l]);
      }
      t.store_matrix(bar[l].w, l, task.weights[l]);
      if (s.momentum) t.store_matrix(bar[l].S, l, task.momentum[l]);
    }
  }
};

template <int L>
int64_t mlp_gradient_scratch(const NetworkShape& s) {
  Arena count(nullptr);
  MlpGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void mlp_gradient(const NetworkShape& s, const NetworkGradientTask& task, float* scratch) {
  Arena arena(scratch);
  MlpGradient<L> gradient(s, arena);
  gradient.start(task);
  auto slot_at = [&](int64_t j) { return NetworkSlot::at(s, task.call->slots + j * s.slot_floats); };
  IntervalWalk walk(s.refresh, s.position, s.tokens, s.tiles);
  for (TileSpan tile; walk.next(tile);) {
    if (tile.new_point) tile.point < 0 ? gradient.t.load_refresh_point(*task.call) : gradient.t.refresh(slot_at(tile.point), true);
    gradient.tile(task, slot_at(tile.index), tile.first, tile.size);
    if (tile.starts_at_point) gradient.leave_interval();
  }
  gradient.finish(task);
}

}  // namespace
}  // namespace mneme::kernels
