// Dual form of a memory network, tile by tile. A tile never crosses a refresh point, since its features belong to one, and ends
// with a group.
#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "memory/fast_weight.h"
#include "memory/group.h"
#include "memory/guard.h"
#include "memory/inner_gradient.h"
#include "memory/network_rows.h"
#include "memory/unit_lower.h"

namespace mneme::memory {
namespace {

class Tile {
 public:
  Tile(const NetworkCall& call, const NetworkRows& x, NetworkWeights& state)
      : call_(call), net_(call.net), x_(x), s_(state), size_(x.key.size(1)), last_(call.net.depth - 1), theta_(x.theta) {}

  at::Tensor run() {
    InnerGradient g = key_features(net_, x_.key, s_.refresh_point);
    if (call_.gradient == Gradient::refresh) {
      error_rows(net_, x_.key, x_.value, s_.refresh_point, gain_point(), call_.fast_gain(), g);
      shorten_steps(g);
      make_coefficients();
      return finish(matrices(s_.weights, s_.momentum), g);
    }
    make_coefficients();
    const int64_t sweeps = call_.gradient == Gradient::sweeps ? call_.sweeps : 0;
    std::optional<std::vector<FastMatrix>> before;  // as the sweep before this one saw them
    for (int64_t n = 0;; ++n) {
      const bool final = n == sweeps;
      std::vector<FastMatrix> fast = final ? matrices(s_.weights, s_.momentum) : matrices(s_.sweep_weights[n], s_.sweep_momentum[n]);
      if (n > 0) own_features(*before, g);
      solve_last(fast[last_], g);
      const at::Tensor back = fast[last_].apply_transposed(g.deltas[last_], point_[last_], g.inputs[last_], g.deltas[last_]);
      if (n == 0)
        lower_error_rows(net_, back, s_.refresh_point, g);
      else
        own_lower_error_rows(*before, back, g);
      if (final) return finish(fast, g);
      before = fast;
      previous_ = g;
      write(fast, g, s_.sweep_weights[n], s_.sweep_momentum[n]);
    }
  }

  at::Tensor losses;  // [N,C], where asked for

 private:
  at::Tensor gain_point() const { return call_.fast_gain() ? s_.refresh_point[net_.depth] : x_.gain; }
  at::Tensor eta(size_t l) const { return call_.momentum() ? x_.eta[l] : at::zeros_like(theta_[l]); }

  at::Tensor finish(const std::vector<FastMatrix>& fast, InnerGradient& g) {
    if (call_.losses) losses = loss_rows(net_, g.output.defined() ? g.output : solved_output(fast[last_], g), x_.value);
    const at::Tensor reads = read(fast, g);
    write(fast, g, s_.weights, s_.momentum);
    return reads;
  }

  // M_{t−1}(k_t) of each token, last matrix included.
  at::Tensor solved_output(const FastMatrix& matrix, const InnerGradient& g) const {
    const at::Tensor chain = matrix.apply(g.inputs[last_], point_[last_], g.inputs[last_], g.deltas[last_]);
    return network_output(net_, x_.key, chain, {});
  }

  // Clip and guard know a token's gradient before its step is taken, since all gradients are the refresh point's.
  void shorten_steps(const InnerGradient& g) {
    if (call_.clipped()) {
      const at::Tensor shrink = (squared_gradient(g) + 1e-24).rsqrt().mul(call_.clip).clamp_max(1);
      for (at::Tensor& theta : theta_) theta = theta * shrink;
    }
    const int64_t written = size_ / call_.group * call_.group;  // tokens of an unfinished group come again
    if (!call_.guarded() || written == 0) return;
    for (int64_t l = 0; l < net_.depth; ++l) {
      const at::Tensor theta = x_.step.defined() ? theta_[l] * x_.step : theta_[l];
      auto of = [&](const at::Tensor& x) { return x.narrow(1, 0, written); };
      const at::Tensor eta = call_.momentum() ? at_group_end(of(x_.eta[l]), 1, call_.group) : at::Tensor();
      const Guarded guarded = guard(of(g.inputs[l]), of(theta), eta, s_.load[l], loss_factor(net_, x_.value.size(2)) / 2);
      s_.load[l] = guarded.load;
      theta_[l] = theta * at::constant_pad_nd(guarded.factor, {0, size_ - written}, 1);
      s_.firings = s_.firings + guarded.firings;
    }
  }

  void make_coefficients() {
    for (size_t l = 0; l < theta_.size(); ++l) {
      c_.push_back(coefficients(theta_[l], x_.alpha[l], eta(l), x_.step, call_.group));
      point_.push_back(c_[l].before);
    }
    if (call_.decayed) point_[last_] = decayed(c_[last_].before);
  }

  Rows decayed(const Rows& before) const {
    const at::Tensor keep = 1 - at_group_end(x_.alpha[last_], 1, call_.group);
    return {before.K * as_rows(keep), before.d * keep, before.m * keep};
  }

  std::vector<FastMatrix> matrices(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& momentum) const {
    std::vector<FastMatrix> fast;
    for (size_t l = 0; l < weights.size(); ++l)
      fast.emplace_back(weights[l], momentum.empty() ? at::Tensor() : momentum[l], x_.initial.empty() ? at::Tensor() : x_.initial[l]);
    return fast;
  }

  // Features of each token through the lower matrices it would see: M_{t−1} as the sweep before left it.
  void own_features(const std::vector<FastMatrix>& fast, InnerGradient& g) const {
    for (int64_t l = 0; l < last_; ++l) {
      const at::Tensor z = g.inputs[l];
      const at::Tensor inside = point_[l].K * at::bmm(z, previous_.inputs[l].transpose(1, 2));
      g.hidden[l] = hidden_rows(net_, at::baddbmm(fast[l].base(z, point_[l]), inside, previous_.deltas[l]));
      g.inputs[l + 1] = g.hidden[l].out;
    }
  }

  void own_lower_error_rows(const std::vector<FastMatrix>& fast, const at::Tensor& back, InnerGradient& g) const {
    at::Tensor rows = back;
    for (int64_t l = last_ - 1; l >= 0; --l) {
      g.deltas[l] = hidden_gradient(net_, g.hidden[l], rows);
      if (l == 0) return;
      const at::Tensor inside = point_[l].K * at::bmm(g.deltas[l], previous_.deltas[l].transpose(1, 2));
      rows = at::baddbmm(fast[l].base(g.deltas[l], point_[l], true), inside, previous_.inputs[l]);
    }
  }

  // The last matrix exactly: Δ_t = c (a_t W_{t−1} − target), where W_{t−1} holds the tile's earlier Δ.
  void solve_last(const FastMatrix& matrix, InnerGradient& g) const {
    g.deltas.resize(net_.depth);
    const at::Tensor& a = g.inputs[last_];
    if (net_.loss == InnerLoss::dot) {
      g.deltas[last_] = -x_.value;
      return;
    }
    const double c = loss_factor(net_, x_.value.size(2));
    const at::Tensor target = net_.form == Form::feature ? x_.value - x_.key : x_.value;
    const at::Tensor seen = point_[last_].K * at::bmm(a * -c, a.transpose(1, 2));
    g.deltas[last_] = solve_unit_lower(seen, (matrix.base(a, point_[last_]) - target) * c);
  }

  at::Tensor read(const std::vector<FastMatrix>& fast, const InnerGradient& g) const {
    auto rows = [&](int64_t l) -> const Rows& { return call_.read_before ? c_[l].before : c_[l].now; };
    at::Tensor z = x_.query;
    for (int64_t l = 0; l < net_.depth; ++l) {
      z = fast[l].apply(z, rows(l), g.inputs[l], g.deltas[l]);
      if (l < last_) z = hidden_rows(net_, z).out;
    }
    at::Tensor gain = x_.gain;
    if (call_.fast_gain()) {
      const at::Tensor& gradient = g.deltas[net_.depth];
      gain = fast[net_.depth].base(one(), rows(net_.depth)) + at::bmm(rows(net_.depth).K, gradient);
    }
    return network_output(net_, x_.query, z, gain);
  }

  // A gain is a matrix whose input row is 1.
  at::Tensor one() const { return at::ones({x_.key.size(0), size_, 1}, x_.key.options()); }

  void write(std::vector<FastMatrix> fast, const InnerGradient& g, std::vector<at::Tensor>& weights, std::vector<at::Tensor>& momentum) const {
    for (size_t l = 0; l < fast.size(); ++l) {
      fast[l].write(c_[l], int64_t(l) < net_.depth ? g.inputs[l] : one(), g.deltas[l]);
      weights[l] = fast[l].weights();
      if (!momentum.empty()) momentum[l] = fast[l].momentum();
    }
  }

  const NetworkCall& call_;
  const Network& net_;
  const NetworkRows& x_;  // the tile's part of the call
  NetworkWeights& s_;
  const int64_t size_, last_;
  std::vector<at::Tensor> theta_;
  std::vector<Coefficients> c_;
  std::vector<Rows> point_;  // where each matrix's gradient is taken, exactly
  InnerGradient previous_;   // of the sweep before
};

}  // namespace

at::Tensor network_chunked(const NetworkCall& call, NetworkWeights& state) {
  const int64_t steps = call.key.size(2), tile = std::max(call.tile / call.group, int64_t(1)) * call.group;
  to_rows(call, state);
  if (steps == 0) {
    to_heads(call, state);
    return at::empty_like(call.value);
  }
  std::vector<int64_t> sizes;
  for (int64_t first = 0; first < steps; first += sizes.back())
    sizes.push_back(std::min({tile, call.refresh - (call.position + first) % call.refresh, steps - first}));
  std::vector<at::Tensor> reads, losses;
  int64_t position = call.position;
  auto refresh = [&] {
    if (position % call.refresh == 0) begin_interval(call, state);
  };
  for (const NetworkRows& part : NetworkRows(call).split(sizes)) {
    refresh();
    Tile of_part(call, part, state);
    reads.push_back(of_part.run());
    if (call.losses) losses.push_back(of_part.losses);
    position += part.key.size(1);
  }
  refresh();
  if (call.losses) state.losses = at::cat(losses, 1);
  to_heads(call, state);
  return to_heads(call, reads.size() == 1 ? reads[0] : at::cat(reads, 1));
}

}  // namespace mneme::memory
