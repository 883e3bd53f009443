// The linear memory tile by tile, forward and backward: one layer whose errors are exact (refresh 0), or taken at the refresh
// point's weights.
#pragma once

#include "kernels/engine/layer_gradient.h"
#include "kernels/engine/slots.h"

namespace mneme::kernels {
namespace {

template <int L>
struct LinearTile {
  const LinearShape& s;
  Matrix q, k, v, kT, delta, y;   // [C,E], [C,E], [C,D], [E,C], [C,D], [C,D]
  Matrix system, inside, scaled;  // [C,C], [C,C], [C, max(E,D)]
  Matrix R;
  Gates<L> g;
  int64_t n = 0;

  LinearTile(const LinearShape& shape, Arena& x) : s(shape) {
    const int64_t C = kTileTokens, E = s.key_width, D = s.value_width;
    q = x.matrix(C, E), k = x.matrix(C, E), v = x.matrix(C, D), kT = x.matrix(E, C), delta = x.matrix(C, D), y = x.matrix(C, D);
    system = x.matrix(C, C), inside = x.matrix(C, C), scaled = x.matrix(C, E > D ? E : D);
    R = x.matrix(E, D);
    g.place(x, C);
  }

  bool exact() const { return s.refresh == 0; }
  Weights weights(const LinearSlot& slot) const { return {s.key_width, s.value_width, slot.w, slot.S, {}}; }
  void load_matrix(const float* from, Matrix to) const { load_rows<L>(from, s.value_width, s.key_width, s.value_width, to); }
  void store_matrix(Matrix from, float* to) const { store_rows<L>(from, s.key_width, s.value_width, to, s.value_width); }

  void refresh(const LinearSlot& slot) {
    for (int64_t i = 0; i < s.key_width * R.stride; i += L) kernels::at<L>(R.data + i) = kernels::at<L>(slot.w.data + i);
  }

  void load(const Rows& rows, int64_t first, int64_t width, Matrix to) const {
    load_rows<L>(rows.data + first * rows.stride, rows.stride, n, width, to);
  }

  void errors(const LinearTask& task, const LinearSlot& slot, int64_t first, int64_t tokens, Matrix raw = {}) {
    n = tokens;
    load(task.query, first, s.key_width, q);
    load(task.key, first, s.key_width, k);
    load(task.value, first, s.value_width, v);
    g.fill(task.theta + first, task.alpha + first, s.momentum ? task.eta + first : nullptr, n, bool(raw));
    transpose<L>(k, n, s.key_width, kT);
    if (exact())
      exact_errors<L>(weights(slot), g, s.factor, n, k, kT, v, system, raw, delta);
    else
      stale_errors<L>(R, s.factor, s.key_width, s.value_width, n, k, v, delta);
  }
};

template <int L>
int64_t linear_scratch(const LinearShape& s) {
  Arena count(nullptr);
  LinearTile<L> tile(s, count);
  return count.used() + LinearSlot::floats(s);
}

template <int L>
void linear(const LinearShape& s, const LinearTask& task, float* scratch) {
  Arena arena(scratch);
  LinearTile<L> tile(s, arena);
  float* own_slot = arena.take(LinearSlot::floats(s));
  auto slot_at = [&](int64_t j) { return LinearSlot::at(s, task.slots && j < s.tiles ? task.slots + j * s.slot_floats : own_slot); };
  LinearSlot slot = slot_at(0);
  tile.load_matrix(task.weights, slot.w);
  if (s.momentum) tile.load_matrix(task.momentum, slot.S);
  if (task.refresh_point) tile.load_matrix(task.refresh_point, tile.R);
  auto at_point = [&](int64_t token) { return s.refresh && (s.position + token) % s.refresh == 0; };
  for (int64_t first = 0, j = 0; first < s.tokens; ++j) {
    const int64_t size = tile_size(s.refresh, s.position + first, s.tokens - first);
    if (at_point(first)) tile.refresh(slot);
    tile.errors(task, slot, first, size);
    const Weights x = tile.weights(slot);
    read<L>(x, tile.g, size, tile.q, tile.kT, tile.delta, tile.inside, Matrix{}, tile.y);
    store_rows<L>(tile.y, size, s.value_width, task.reads + first * s.value_width, s.value_width);
    const LinearSlot next = slot_at(j + 1);
    write<L>(x, tile.g, size, tile.k, tile.delta, tile.scaled, tile.weights(next));
    slot = next;
    first += size;
  }
  if (at_point(s.tokens)) tile.refresh(slot);
  tile.store_matrix(slot.w, task.end_weights);
  if (s.momentum) tile.store_matrix(slot.S, task.end_momentum);
  if (s.refresh) tile.store_matrix(tile.R, task.end_refresh_point);
}

template <int L>
struct LinearGradient {
  const LinearShape& s;
  LinearTile<L> t;
  GradientBuffers<L> b;
  GateGradients<L> g_bar;
  Weights bar, T;  // of the state; transposed weights
  Matrix R_bar, raw_system, raw_inside;
  Matrix q_bar, k_bar, y_bar, delta_bar, deltaT;

  LinearGradient(const LinearShape& shape, Arena& x)
      : s(shape), t(shape, x), b(x, kTileTokens, shape.key_width > shape.value_width ? shape.key_width : shape.value_width) {
    const int64_t C = kTileTokens, E = s.key_width, D = s.value_width;
    g_bar.place(x, C);
    bar = {E, D, x.matrix(E, D), {}, {}};
    if (s.momentum) bar.S = x.matrix(E, D);
    T.w = x.matrix(D, E), T.S = x.matrix(D, E), R_bar = x.matrix(E, D);
    raw_system = x.matrix(C, C), raw_inside = x.matrix(C, C);
    q_bar = x.matrix(C, E), k_bar = x.matrix(C, E), y_bar = x.matrix(C, D), delta_bar = x.matrix(C, D), deltaT = x.matrix(D, C);
  }

  void start(const LinearGradientTask& task) {
    const int64_t E = s.key_width;
    auto load = [&](const float* from, Matrix to) { from ? t.load_matrix(from, to) : set_zero<L>(to, E); };
    load(task.end_weights, bar.w);
    load(s.refresh ? task.end_refresh_point : nullptr, R_bar);
    if (s.momentum) load(task.end_momentum, bar.S);
    if (s.refresh && (s.position + s.tokens) % s.refresh == 0) leave_interval();
  }

  void leave_interval() {
    add_rows<L>(bar.w, R_bar, s.key_width);
    set_zero<L>(R_bar, s.key_width);
  }

  void tile(const LinearGradientTask& task, const LinearSlot& slot, int64_t first, int64_t n) {
    const int64_t E = s.key_width, D = s.value_width;
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
    if (t.exact()) {
      exact_errors_gradient<L>(xT, bar, t.g, g_bar, s.factor, n, t.k, deltaT, t.system, raw_system, delta_bar, k_bar, b);
    } else {
      transpose<L>(t.R, E, D, T.w);
      stale_errors_gradient<L>(T.w, s.factor, E, D, n, t.k, delta_bar, k_bar, R_bar);
    }
    g_bar.finish(t.g, n, task.theta + first, task.alpha + first, s.momentum ? task.eta + first : nullptr);
    for (int64_t i = 0; i < n * delta_bar.stride; i += L) kernels::at<L>(delta_bar.data + i) = -kernels::at<L>(delta_bar.data + i);
    store_rows<L>(q_bar, n, E, task.query + first * E, E);
    store_rows<L>(k_bar, n, E, task.key + first * E, E);
    store_rows<L>(delta_bar, n, D, task.value + first * D, D);
  }
};

template <int L>
int64_t linear_gradient_scratch(const LinearShape& s) {
  Arena count(nullptr);
  LinearGradient<L> gradient(s, count);
  return count.used();
}

template <int L>
void linear_gradient(const LinearShape& s, const LinearGradientTask& task, float* scratch) {
  Arena arena(scratch);
  LinearGradient<L> gradient(s, arena);
  gradient.start(task);
  auto slot_at = [&](int64_t j) { return LinearSlot::at(s, task.call->slots + j * s.slot_floats); };
  IntervalWalk walk(s.refresh, s.position, s.tokens, s.tiles);
  for (TileSpan tile; walk.next(tile);) {
    if (s.refresh && tile.new_point)
      tile.point < 0 ? gradient.t.load_matrix(task.call->refresh_point, gradient.t.R) : gradient.t.refresh(slot_at(tile.point));
    gradient.tile(task, slot_at(tile.index), tile.first, tile.size);
    if (tile.starts_at_point) gradient.leave_interval();
  }
  gradient.t.store_matrix(gradient.bar.w, task.weights);
  if (s.momentum) gradient.t.store_matrix(gradient.bar.S, task.momentum);
  if (task.refresh_point) gradient.t.store_matrix(gradient.R_bar, task.refresh_point);
}

}  // namespace
}  // namespace mneme::kernels
