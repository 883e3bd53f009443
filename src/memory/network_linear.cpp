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
#include "memory/network_rows.h"
#include "memory/unit_lower.h"

namespace mneme::memory {
namespace {

// K, d, m of the state that each token's gradient is taken in: before its own step, with `keep` after forgetting.
Rows before_step(const Coefficients& c, const at::Tensor& keep) {
  if (!keep.defined()) return c.before;
  return {c.before.K * keep.unsqueeze(2), c.before.d * keep, c.before.m * keep};
}

// Reads [N,T,V] of `count` tiles of `size` tokens; W and S, undefined without momentum, move on.
at::Tensor run_linear_tiles(const NetworkCall& call, const NetworkRows& x, at::Tensor& W, at::Tensor& S, int64_t count, int64_t size) {
  const bool momentum = call.momentum();
  const int64_t N = x.key.size(0), E = x.key.size(2), D = x.value.size(2), M = N * count;
  const double factor = loss_factor(call.net, D);
  auto tiles = [&](const at::Tensor& rows) { return rows.reshape({M, size, rows.size(2)}); };
  auto gate = [&](const at::Tensor& g) { return g.reshape({M, size}); };
  // By tile; unbound at once, as many selections would each send a gradient of the whole back.
  auto by_tile = [&](const at::Tensor& t) { return t.reshape({N, count, t.size(1), t.size(2)}).unbind(1); };
  const at::Tensor q = tiles(x.query), k = tiles(x.key), v = tiles(x.value), theta = gate(x.theta[0]);
  const Coefficients c = coefficients(theta, gate(x.alpha[0]), momentum ? gate(x.eta[0]) : at::zeros_like(theta),
                                      x.step.defined() ? gate(x.step) : at::Tensor(), call.group);
  const Rows point = before_step(c, call.decayed ? gate(1 - at_group_end(x.alpha[0], 1, call.group)) : at::Tensor());

  // Right-hand sides [v | d k | m k], solved together.
  std::vector<at::Tensor> sides{v, point.d.unsqueeze(2) * k};
  if (momentum) sides.push_back(point.m.unsqueeze(2) * k);
  const at::Tensor system = point.K * at::bmm(k * -factor, k.transpose(1, 2));  // K before the step is strictly lower
  const at::Tensor solved = solve_unit_lower(system, at::cat(sides, 2));
  const std::vector<at::Tensor> parts = solved.split_with_sizes({D, solved.size(2) - D}, 2);
  const std::vector<at::Tensor> U_v = by_tile(parts[0]), U_state = by_tile(parts[1]);

  // What a tile writes into [W; S]: rows K_C ⊙ k and L ⊙ k.
  std::vector<at::Tensor> writes{c.now.K.select(1, size - 1).unsqueeze(2) * k};
  if (momentum) writes.push_back(c.L.unsqueeze(2) * k);
  const std::vector<at::Tensor> write = by_tile(at::cat(writes, 2).transpose(1, 2));  // [N,E or 2E,size]
  auto end = [&](const at::Tensor& coefficient) { return by_tile(coefficient.reshape({M, 1, 1})); };
  const std::vector<at::Tensor> d_end = end(c.now.d.select(1, size - 1)), m_end = end(c.now.m.select(1, size - 1)), p_end = end(c.p);

  std::vector<at::Tensor> starts, deltas;
  for (int64_t j = 0; j < count; ++j) {
    starts.push_back(momentum ? at::cat({W, S}, 1) : W);  // [N,E or 2E,D]
    deltas.push_back(at::baddbmm(U_v[j], U_state[j], starts.back(), -factor, factor));
    const at::Tensor written = at::bmm(write[j], deltas.back());
    at::Tensor W_next = d_end[j] * W + written.narrow(1, 0, E);
    if (momentum) {
      W_next = W_next + m_end[j] * S;
      S = p_end[j] * S + written.narrow(1, E, E);
    }
    W = W_next;
  }

  // Reads of all tiles at once.
  const Rows& read = call.read_before ? c.before : c.now;
  at::Tensor lead = read.d.unsqueeze(2) * q;
  if (momentum) lead = at::cat({lead, read.m.unsqueeze(2) * q}, 2);
  const at::Tensor base = at::bmm(lead, at::stack(starts, 1).reshape({M, lead.size(2), D}));
  const at::Tensor inside = read.K * at::bmm(q, k.transpose(1, 2));
  return at::baddbmm(base, inside, at::stack(deltas, 1).reshape({M, size, D})).reshape({N, count * size, D});
}

}  // namespace

std::string why_not_linear(const NetworkCall& rule, const CallShape& call) {
  const Network& net = rule.net;
  if (net.depth != 1 || net.form != Form::plain) return "it has one matrix alone";
  if (rule.gradient != Gradient::exact_last) return "it has exact gradients";
  if (net.loss != InnerLoss::l2 && net.loss != InnerLoss::l2_mean) return "it has squared losses";
  return call.measured ? "losses are asked for" : "";
}

at::Tensor network_linear(const NetworkCall& call, NetworkWeights& weights) {
  const int64_t steps = call.key.size(2);
  if (steps == 0) return at::empty_like(call.value);
  const int64_t size = std::min(std::max(call.tile / call.group, int64_t(1)) * call.group, steps), count = steps / size, rest = steps - count * size;
  to_rows(call, weights);
  NetworkRows x(call);
  at::Tensor W = weights.weights[0], S = call.momentum() ? weights.momentum[0] : at::Tensor();
  // Retention towards the initial weights is the same rule for W − W_init with targets v − k W_init.
  const at::Tensor initial = x.initial.empty() ? at::Tensor() : x.initial[0];
  if (initial.defined()) x.value = x.value - at::bmm(x.key, initial), W = W - initial;
  at::Tensor reads;
  if (rest == 0) {
    reads = run_linear_tiles(call, x, W, S, count, size);
  } else {
    const std::vector<NetworkRows> parts = x.split({count * size, rest});
    const at::Tensor whole = run_linear_tiles(call, parts[0], W, S, count, size);
    reads = at::cat({whole, run_linear_tiles(call, parts[1], W, S, 1, rest)}, 1);
  }
  if (initial.defined()) reads = at::baddbmm(reads, x.query, initial), W = W + initial;
  weights.weights[0] = W;
  if (call.momentum()) weights.momentum[0] = S;
  to_heads(call, weights);
  return to_heads(call, reads);
}

}  // namespace mneme::memory
