// Dual form of the linear memory. Inside a tile no weights are built: with Δ_i = −c u_i, u_i the error of token i before its own
// step, every W_t is d_t W_0 + m_t S_0 + Σ K[t,i] k_iᵀ Δ_i, and
//
//   (I − c tril(K[t − 1, i] ⊙ k kᵀ, −1)) U = v − d_{t−1} ⊙ (k W_0) − m_{t−1} ⊙ (k S_0)
//
// Both sides are linear in W_0, S_0 and v, so the systems of all tiles are solved in one batch; only two small products
// a tile remain in the loop that carries the state.
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "memory/coefficients.h"
#include "memory/group.h"
#include "memory/linear_chunked.h"
#include "memory/unit_lower.h"

namespace mneme::memory {
namespace {

struct Tiles {  // `count` tiles of `size` tokens; tensors [N, count, size, ·]
  at::Tensor query, key, value;
  Coefficients c;  // [N, count, …]
  int64_t rows, count, size;
};

at::Tensor tiled(const at::Tensor& x, int64_t first, int64_t count, int64_t size) {
  auto sizes = x.sizes().vec();
  sizes[1] = size;
  sizes.insert(sizes.begin() + 1, count);
  return x.narrow(1, first, count * size).reshape(sizes);
}

Tiles make_tiles(const LinearCall& call, int64_t first, int64_t count, int64_t size) {
  const int64_t rows = call.key.size(0);
  auto gate = [&](const at::Tensor& g) { return g.narrow(1, first, count * size).reshape({rows * count, size}); };
  const at::Tensor theta = gate(call.theta);
  Coefficients c = coefficients(theta, gate(call.alpha), call.eta.defined() ? gate(call.eta) : at::zeros_like(theta),
                                call.step.defined() ? gate(call.step) : at::Tensor(), call.group);
  return {tiled(call.query, first, count, size), tiled(call.key, first, count, size), tiled(call.value, first, count, size),
          std::move(c), rows, count, size};
}

// K, d, m of the state that each token's gradient is taken in: before its own step, with `keep` after forgetting.
Rows before_step(const Coefficients& c, const at::Tensor& keep) {
  if (!keep.defined()) return c.before;
  return {c.before.K * keep.unsqueeze(2), c.before.d * keep, c.before.m * keep};
}

// 1 − α of each token's group, [N·count,size], where gradients are taken after forgetting.
at::Tensor kept(const LinearCall& call, int64_t first, int64_t count, int64_t size) {
  if (!call.decayed) return {};
  return (1 - at_group_end(call.alpha.narrow(1, first, count * size), 1, call.group)).reshape({-1, size});
}

// All of the call that fills whole tiles of one size.
at::Tensor run_tiles(const LinearCall& call, LinearWeights& state, int64_t first, int64_t count, int64_t size) {
  const Tiles x = make_tiles(call, first, count, size);
  const bool momentum = call.eta.defined();
  const int64_t N = x.rows, E = x.key.size(3), D = x.value.size(3);
  const Rows point = before_step(x.c, kept(call, first, count, size));
  auto flat = [&](const at::Tensor& t) { return t.reshape({N * count, size, t.size(3)}); };
  // By tile; unbound at once, as many selections would each send a gradient of the whole back.
  auto by_tile = [&](const at::Tensor& t) { return t.reshape({N, count, t.size(1), t.size(2)}).unbind(1); };
  const at::Tensor q = flat(x.query), k = flat(x.key), v = flat(x.value);

  // Right-hand sides [v | d k | m k], solved together.
  std::vector<at::Tensor> sides{v, point.d.unsqueeze(2) * k};
  if (momentum) sides.push_back(point.m.unsqueeze(2) * k);
  const at::Tensor system = point.K * at::bmm(k * -call.factor, k.transpose(1, 2));  // K before the step is strictly lower
  const at::Tensor solved = solve_unit_lower(system, at::cat(sides, 2));
  const std::vector<at::Tensor> parts = solved.split_with_sizes({D, solved.size(2) - D}, 2);
  const std::vector<at::Tensor> U_v = by_tile(parts[0]), U_state = by_tile(parts[1]);

  // What a tile writes into [W; S]: rows K_C ⊙ k and L ⊙ k.
  std::vector<at::Tensor> writes{x.c.now.K.select(1, size - 1).unsqueeze(2) * k};
  if (momentum) writes.push_back(x.c.L.unsqueeze(2) * k);
  const std::vector<at::Tensor> write = by_tile(at::cat(writes, 2).transpose(1, 2));  // [N,E or 2E,size]
  auto end = [&](const at::Tensor& coefficient) { return by_tile(coefficient.reshape({N * count, 1, 1})); };
  const std::vector<at::Tensor> d_end = end(x.c.now.d.select(1, size - 1)), m_end = end(x.c.now.m.select(1, size - 1)), p_end = end(x.c.p);

  at::Tensor W = state.weights, S = state.momentum;
  std::vector<at::Tensor> starts, deltas;
  for (int64_t j = 0; j < count; ++j) {
    starts.push_back(momentum ? at::cat({W, S}, 1) : W);  // [N,E or 2E,D]
    deltas.push_back(at::baddbmm(U_v[j], U_state[j], starts.back(), -call.factor, call.factor));
    const at::Tensor written = at::bmm(write[j], deltas.back());
    at::Tensor W_next = d_end[j] * W + written.narrow(1, 0, E);
    if (momentum) {
      W_next = W_next + m_end[j] * S;
      S = p_end[j] * S + written.narrow(1, E, E);
    }
    W = W_next;
  }
  state.weights = W;
  if (momentum) state.momentum = S;

  // Reads of all tiles at once.
  const Rows& read = call.read_before ? x.c.before : x.c.now;
  at::Tensor lead = read.d.unsqueeze(2) * q;
  if (momentum) lead = at::cat({lead, read.m.unsqueeze(2) * q}, 2);
  const at::Tensor base = at::bmm(lead, at::stack(starts, 1).reshape({N * count, lead.size(2), D}));
  const at::Tensor inside = read.K * at::bmm(q, k.transpose(1, 2));
  return at::baddbmm(base, inside, at::stack(deltas, 1).reshape({N * count, size, D})).reshape({N, count * size, D});
}

}  // namespace

at::Tensor linear_chunked(const LinearCall& call, LinearWeights& state) {
  const int64_t steps = call.key.size(1);
  if (steps == 0) return at::empty_like(call.value);
  const int64_t size = std::min(std::max(call.tile / call.group, int64_t(1)) * call.group, steps), count = steps / size, rest = steps - count * size;
  const at::Tensor whole = run_tiles(call, state, 0, count, size);
  return rest ? at::cat({whole, run_tiles(call, state, count * size, 1, rest)}, 1) : whole;
}

}  // namespace mneme::memory
