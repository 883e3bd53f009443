// Dual form of the MLP memory, tile by tile. A tile never crosses a refresh point, since its features belong to one.
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "memory/kernels/coefficients.h"
#include "memory/kernels/mlp.h"
#include "memory/kernels/unit_lower.h"

namespace mneme::memory {
namespace {

// One weight matrix inside a tile: rows z meet W_t = d_t w + m_t S (+ initial) + Σ K[t,i] A_iᵀ Δ_i, where w = W − initial
// if forgetting leads to the initial weights.
struct Layer {
  at::Tensor w, momentum, initial;
  Coefficients c;

  static at::Tensor rows(const at::Tensor& coefficient) { return coefficient.unsqueeze(2); }  // [N,C] → [N,C,1]

  // z · (the part of W_t that was there before the tile); `transposed`: z · W_tᵀ
  at::Tensor base(const at::Tensor& z, const Rows& at_rows, bool transposed = false) const {
    auto of = [&](const at::Tensor& x) { return transposed ? x.transpose(1, 2) : x; };
    at::Tensor y = rows(at_rows.d) * at::bmm(z, of(w));
    if (momentum.defined()) y = y + rows(at_rows.m) * at::bmm(z, of(momentum));
    return initial.defined() ? at::baddbmm(y, z, of(initial)) : y;
  }

  at::Tensor read(const at::Tensor& z, const at::Tensor& written, const at::Tensor& delta) const {
    return at::baddbmm(base(z, c.now), c.now.K * at::bmm(z, written.transpose(1, 2)), delta);
  }

  void write(const at::Tensor& input, const at::Tensor& delta) {
    const int64_t last = c.now.d.size(1) - 1;
    auto end = [&](const at::Tensor& coefficient) { return coefficient.select(1, last).view({-1, 1, 1}); };
    at::Tensor next = end(c.now.d) * w + at::bmm((rows(c.now.K.select(1, last)) * input).transpose(1, 2), delta);
    if (momentum.defined()) {
      next = next + end(c.now.m) * momentum;
      momentum = c.p.view({-1, 1, 1}) * momentum + at::bmm((rows(c.L) * input).transpose(1, 2), delta);
    }
    w = next;
  }

  at::Tensor weights() const { return initial.defined() ? w + initial : w; }
};

Layer layer_of(const MlpCall& call, const MlpWeights& state, int l, int64_t first, int64_t size) {
  auto gate = [&](const at::Tensor& g) { return g.narrow(1, first, size); };
  const at::Tensor theta = gate(call.theta[l]);
  Layer layer;
  layer.c = coefficients(theta, gate(call.alpha[l]), call.eta[l].defined() ? gate(call.eta[l]) : at::zeros_like(theta));
  layer.initial = call.initial[l];
  layer.momentum = state.momentum[l];
  layer.w = layer.initial.defined() ? state.weights[l] - layer.initial : state.weights[l];
  return layer;
}

at::Tensor run_tile(const MlpCall& call, MlpWeights& state, int64_t first, int64_t size) {
  const at::Tensor q = call.query.narrow(1, first, size), k = call.key.narrow(1, first, size), v = call.value.narrow(1, first, size);
  Layer one = layer_of(call, state, 0, first, size), two = layer_of(call, state, 1, first, size);
  const Features f = mlp_features(at::bmm(k, state.refresh_point[0]));
  const at::Tensor &a = f.unit, target = v - k;

  at::Tensor delta_2, back;
  if (call.exact_last) {
    const at::Tensor seen = two.c.before.K * at::bmm(a * -2, a.transpose(1, 2));
    delta_2 = solve_unit_lower(seen, (two.base(a, two.c.before) - target) * 2);
    back = two.base(delta_2, two.c.before, true);
    back = at::baddbmm(back, two.c.before.K * at::bmm(delta_2, delta_2.transpose(1, 2)), a);
  } else {
    delta_2 = (at::bmm(a, state.refresh_point[1]) - target) * 2;
    back = at::bmm(delta_2, state.refresh_point[1].transpose(1, 2));
  }
  const at::Tensor delta_1 = mlp_feature_gradient(f, back);

  const at::Tensor read_features = mlp_features(one.read(q, k, delta_1)).unit;
  const at::Tensor reads = q + two.read(read_features, a, delta_2);
  one.write(k, delta_1);
  two.write(a, delta_2);
  state.weights = {one.weights(), two.weights()};
  state.momentum = {one.momentum, two.momentum};
  return reads;
}

}  // namespace

at::Tensor mlp_chunked(const MlpCall& call, MlpWeights& state) {
  const int64_t steps = call.key.size(1);
  std::vector<at::Tensor> reads;
  auto refresh = [&] { state.refresh_point = {state.weights[0], call.exact_last ? at::Tensor() : state.weights[1]}; };
  for (int64_t first = 0; first < steps;) {
    const int64_t done = (call.position + first) % call.refresh;
    if (done == 0) refresh();
    const int64_t size = std::min({call.tile, call.refresh - done, steps - first});
    reads.push_back(run_tile(call, state, first, size));
    first += size;
  }
  if ((call.position + steps) % call.refresh == 0) refresh();
  return reads.size() == 1 ? reads[0] : at::cat(reads, 1);
}

}  // namespace mneme::memory
