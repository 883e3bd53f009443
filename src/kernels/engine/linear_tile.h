// The linear memory tile by tile, forward and backward: one layer whose errors are exact (refresh 0), or taken at the refresh
// point's weights.
#pragma once

#include "kernels/engine/layer_gradient.h"
#include "kernels/engine/slots.h"

namespace mneme::kernels {
namespace {

template <int L>
struct LinearTile {
  const NetworkShape& s;
  Matrix q, k, v, kT, delta, y;   // [C,E], [C,E], [C,D], [E,C], [C,D], [C,D]
  Matrix system, inside, scaled;  // [C,C], [C,C], [C, max(E,D)]
  Matrix R;
  Gates<L> g;
  int64_t n = 0;

  LinearTile(const NetworkShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, E = s.width, D = s.value_width;
    q = x.matrix(C, E), k = x.matrix(C, E), v = x.matrix(C, D), kT = x.matrix(E, C), delta = x.matrix(C, D), y = x.matrix(C, D);
    system = x.matrix(C, C), inside = x.matrix(C, C), scaled = x.matrix(C, E > D ? E : D);
    R = x.matrix(E, D);
    g.place(x, C);
  }

  Weights weights(const NetworkSlot& slot) const { return {s.width, s.value_width, slot.w[0], slot.S[0], {}}; }
  void load_matrix(const float* from, Matrix to) const { load_rows<L>(from, s.value_width, s.width, s.value_width, to); }
  void store_matrix(Matrix from, float* to) const { store_rows<L>(from, s.width, s.value_width, to, s.value_width); }

  void refresh(const NetworkSlot& slot) {
    for (int64_t i = 0; i < s.width * R.stride; i += L) kernels::at<L>(R.data + i) = kernels::at<L>(slot.w[0].data + i);
  }

  void load(const Rows& rows, int64_t first, int64_t width, Matrix to) const {
    load_rows<L>(rows.data + first * rows.stride, rows.stride, n, width, to);
  }

  void errors(const NetworkTask& task, const NetworkSlot& slot, int64_t first, int64_t tokens, Matrix raw = {}) {
    n = tokens;
    load(task.query, first, s.width, q);
    load(task.key, first, s.width, k);
    load(task.value, first, s.value_width, v);
    g.fill(task.theta[0] + first, task.alpha[0] + first, s.momentum ? task.eta[0] + first : nullptr, n, bool(raw));
    transpose<L>(k, n, s.width, kT);
    if (s.exact_last)
      exact_errors<L>(weights(slot), g, s.factor, n, k, kT, v, system, raw, delta);
    else
      stale_errors<L>(R, s.factor, s.width, s.value_width, n, k, v, delta);
  }
};

template <int L>
int64_t linear_scratch(const NetworkShape& s) {
  Arena count(nullptr);
  LinearTile<L> tile(s, count);
  return count.used() + NetworkSlot::floats(s);
}

template <int L>
void linear(const NetworkShape& s, const NetworkTask& task, float* scratch) {
  Arena arena(scratch);
  LinearTile<L> tile(s, arena);
  float* own_slot = arena.take(NetworkSlot::floats(s));
  auto slot_at = [&](int64_t j) { return NetworkSlot::at(s, task.slots && j < s.tiles ? task.slots + j * s.slot_floats : own_slot); };
  NetworkSlot slot = slot_at(0);
  tile.load_matrix(task.weights[0], slot.w[0]);
  if (s.momentum) tile.load_matrix(task.momentum[0], slot.S[0]);
  if (task.refresh_point[0]) tile.load_matrix(task.refresh_point[0], tile.R);
  auto at_point = [&](int64_t token) { return s.refresh && (s.position + token) % s.refresh == 0; };
  for (int64_t first = 0, j = 0; first < s.tokens; ++j) {
    const int64_t size = tile_size(s.refresh, s.position + first, s.tokens - first);
    if (at_point(first)) tile.refresh(slot);
    tile.errors(task, slot, first, size);
    const Weights x = tile.weights(slot);
    read<L>(x, tile.g, size, tile.q, tile.kT, tile.delta, tile.inside, Matrix{}, tile.y);
    store_rows<L>(tile.y, size, s.value_width, task.reads + first * s.value_width, s.value_width);
    const NetworkSlot next = slot_at(j + 1);
    write<L>(x, tile.g, size, tile.k, tile.delta, tile.scaled, tile.weights(next));
    slot = next;
    first += size;
  }
  if (at_point(s.tokens)) tile.refresh(slot);
  tile.store_matrix(slot.w[0], task.end_weights[0]);
  if (s.momentum) tile.store_matrix(slot.S[0], task.end_momentum[0]);
  if (s.refresh) tile.store_matrix(tile.R, task.end_refresh_point[0]);
}

template <int L>
struct LinearGradient {
  const NetworkShape& s;
  LinearTile<L> t;
  GradientBuffers<L> b;
  GateGradients<L> g_bar;
  Weights bar, T;  // of the state; transposed weights
  Matrix R_bar, raw_system, raw_inside;
  Matrix q_bar, k_bar, y_bar, delta_bar, deltaT;

  LinearGradient(const NetworkShape& shape, Arena& x)
      : s(shape), t(shape, x), b(x, kTileTokens, shape.width > shape.value_width ? shape.width : shape.value_width) {
    const int64_t C = kTileTokens, E = s.width, D = s.value_width;
    g_bar.place(x, C);
    bar = {E, D, x.matrix(E, D), {}, {}};
    if (s.momentum) bar.S = x.matrix(E, D);
    T.w = x.matrix(D, E), T.S = x.matrix(D, E), R_bar = x.matrix(E, D);
    raw_system = x.matrix(C, C), raw_inside = x.matrix(C, C);
    q_bar = x.matrix(C, E), k_bar = x.matrix(C, E), y_bar = x.matrix(C, D), delta_bar = x.matrix(C, D), deltaT = x.matrix(D, C);
  }

  void start(const NetworkGradientTask& task) {
    const int64_t E = s.width;
    auto load = [&](const float* from, Matrix to) { from ? t.load_matrix(from, to) : set_zero<L>(to, E); };
    load(task.end_weights[0], bar.w);
    load(s.refresh ? task.end_refresh_point[0] : nullptr, R_bar);
    if (s.momentum) load(task.end_momentum[0], bar.S);
    if (s.refresh && (s.position + s.tokens) % s.refresh == 0) leave_interval();
  }

  void leave_interval() {
    add_rows<L>(bar.w, R_bar, s.width);
    set_zero<L>(R_bar, s.width);
  }

  void tile(const NetworkGradientTask& task, const NetworkSlot& slot, int64_t first, int64_t n) {
    const int64_t E = s.width, D = s.value_width;
    t.errors(*task.call, slot, first, n, raw_system);
    product<L, Band::lower_result>({n, n, E}, t.q, t.kT, SetMasked<L>{t.inside, t.g.K, raw_inside});
    transpose<L>(t.delta, n, D, deltaT);
    task.reads.data ? t.load(task.reads, first, D, y_bar) : set_zero<L>(y_bar, n);
    for (Matrix m : {q_bar, k_bar, delta_bar}) set_zero<L>(m, n);
    g_bar.clear();
    const Weights x = t.weights(slot);
    write_gradient<L>(x, bar, T, t.g, g_bar, n, t.k, t.delta, k_bar, delta_bar, b);
    const Weights xT = transposed<L>(x, T);
    read_gradient<L>(xT, bar, t.g, g_bar, n, t.q, t.k, deltaT, t.inside, raw_inside, y_bar, q_bar, k_bar, delta_bar, b);
    if (s.exact_last) {
      exact_errors_gradient<L>(xT, bar, t.g, g_bar, s.factor, n, t.k, deltaT, t.system, raw_system, delta_bar, k_bar, b);
    } else {
      transpose<L>(t.R, E, D, T.w);
      stale_errors_gradient<L>(T.w, s.factor, E, D, n, t.k, delta_bar, k_bar, R_bar);
    }
    g_bar.finish(t.g, n, task.theta[0] + first, task.alpha[0] + first, s.momentum ? task.eta[0] + first : nullptr);
    for (int64_t i = 0; i < n * delta_bar.stride; i += L) kernels::at<L>(delta_bar.data + i) = -kernels::at<L>(delta_bar.data + i);
    store_rows<L>(q_bar, n, E, task.query + first * E, E);
    store_rows<L>(k_bar, n, E, task.key + first * E, E);
    store_rows<L>(delta_bar, n, D, task.value + first * D, D);
  }
};

template <int L>
int64_t linear_gradient_scratch(const NetworkShape& s) {
  Arena count(nullptr);
  LinearGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void linear_gradient(const NetworkShape& s, const NetworkGradientTask& task, float* scratch) {
  Arena arena(scratch);
  LinearGradient<L> gradient(s, arena);
  gradient.start(task);
  auto slot_at = [&](int64_t j) { return NetworkSlot::at(s, task.call->slots + j * s.slot_floats); };
  IntervalWalk walk(s.refresh, s.position, s.tokens, s.tiles);
  for (TileSpan tile; walk.next(tile);) {
    if (s.refresh && tile.new_point)
      tile.point < 0 ? gradient.t.load_matrix(task.call->refresh_point[0], gradient.t.R) : gradient.t.refresh(slot_at(tile.point));
    gradient.tile(task, slot_at(tile.index), tile.first, tile.size);
    if (tile.starts_at_point) gradient.leave_interval();
  }
  gradient.t.store_matrix(gradient.bar.w, task.weights[0]);
  if (s.momentum) gradient.t.store_matrix(gradient.bar.S, task.momentum[0]);
  if (task.refresh_point[0]) gradient.t.store_matrix(gradient.R_bar, task.refresh_point[0]);
}

}  // namespace
}  // namespace mneme::kernels
