// What a memory network should give, written so that it shares no formula with the kernels: M and its loss in plain operations, every
// derivative by autograd, one row and one token at a time; clip and guard as docs/maths.md defines them, by loops over tokens.
#pragma once

#include "tests/unit/memory/network_cases.h"

namespace mneme::test {

class NetworkOracle {
 public:
  int64_t firings = 0, steps = 0;  ///< steps that the guard shortened, of all it looked at

  explicit NetworkOracle(const memory::NetworkCall& call) : call_(call), depth_(call.net.depth), stale_(call.gradient == memory::Gradient::refresh) {}

  /// Reads and inner losses of row n, then its state in the order of network_state_list.
  std::vector<at::Tensor> run(int64_t n, const memory::NetworkWeights& start) {
    begin(n, start);
    std::vector<at::Tensor> reads, losses;
    for (int64_t t = 0; t < tokens(); ++t) {
      if ((call_.position + t) % call_.refresh == 0) refresh();
      if (t % call_.group == 0) begin_group();
      const at::Tensor before = read(n, t);
      losses.push_back(add_step(n, t).view({1}));
      if ((t + 1) % call_.group == 0) write(n, t);
      reads.push_back(call_.read_before ? before : read(n, t));
    }
    if ((call_.position + tokens()) % call_.refresh == 0) refresh();
    std::vector<at::Tensor> r{at::cat(reads, 0), at::cat(losses, 0)};
    for (const at::Tensor& x : network_state_list(end(start))) r.push_back(x);
    return r;
  }

 private:
  using Tensors = std::vector<at::Tensor>;
  struct Fast {
    Tensors W, S;
  };
  struct Written {
    at::Tensor row, total;  // A_j; θ'_j as wanted
  };
  struct Gradient {
    Tensors u, rows;
    at::Tensor loss;
  };

  int64_t tokens() const { return call_.key.size(2); }
  static at::Tensor of_row(const at::Tensor& by_head, int64_t n) { return by_head[n / by_head.size(1)][n % by_head.size(1)]; }
  at::Tensor gate(const at::Tensor& gates, int64_t n, int64_t t, int64_t l) const { return of_row(gates, n)[t][l]; }
  int64_t group_end(int64_t t) const { return std::min(t / call_.group * call_.group + call_.group - 1, tokens() - 1); }
  at::Tensor gain_of(const Tensors& w, int64_t n) const { return call_.fast_gain() ? w[depth_] : call_.gain.defined() ? of_row(call_.gain, n) : at::Tensor(); }
  bool is_step(int64_t n, int64_t t) const { return !call_.step.defined() || call_.step[n / call_.key.size(1)][t].item<bool>(); }

  static Tensors row_of(const Tensors& list, int64_t n) {
    Tensors r;
    for (const at::Tensor& x : list) r.push_back(of_row(x, n));
    return r;
  }
  Fast fast_of(const Tensors& W, const Tensors& S, int64_t n) const {
    Fast f{row_of(W, n), row_of(S, n)};
    if (f.S.empty())
      for (const at::Tensor& w : f.W) f.S.push_back(at::zeros_like(w));
    return f;
  }

  void begin(int64_t n, const memory::NetworkWeights& start) {
    views_.clear();
    for (size_t s = 0; s < start.sweep_weights.size(); ++s) views_.push_back(fast_of(start.sweep_weights[s], start.sweep_momentum[s], n));
    views_.push_back(fast_of(start.weights, start.momentum, n));
    point_ = row_of(start.refresh_point, n);
    interval_.assign(depth_, {});
  }
  void refresh() {
    for (Fast& view : views_) view = views_.back();
    point_ = views_.back().W;
    interval_.assign(depth_, {});
  }
  void begin_group() {
    sums_.assign(views_.size(), Tensors(views_[0].W.size()));
    waiting_ = interval_;
    fired_ = looked_at_ = 0;
  }

  memory::NetworkWeights end(const memory::NetworkWeights& start) const {
    memory::NetworkWeights w{views_.back().W, start.momentum.empty() ? Tensors() : views_.back().S, point_};
    w.refresh_point.resize(start.refresh_point.size());
    for (size_t l = 0; l < start.load.size(); ++l) {  // Σ θ'_j A_j ⊗ A_j
      at::Tensor load = at::zeros_like(of_row(start.load[l], 0));
      for (const Written& j : interval_[l]) load = load + j.total * j.row.t().mm(j.row);
      w.load.push_back(load);
    }
    for (size_t s = 0; s + 1 < views_.size(); ++s) {
      w.sweep_weights.push_back(views_[s].W);
      w.sweep_momentum.push_back(start.momentum.empty() ? Tensors() : views_[s].S);
    }
    return w;
  }

  at::Tensor activate(const at::Tensor& pre) const {
    const at::Tensor s = call_.net.activation == memory::Activation::gelu ? at::gelu(pre) : pre * (1.702 * pre).sigmoid();
    return call_.net.form == memory::Form::feature ? s / (s.square().sum() + 1e-6).sqrt() : s;
  }
  at::Tensor output(const at::Tensor& z, const at::Tensor& chain, const at::Tensor& gain) const {
    if (call_.net.form == memory::Form::plain) return chain;
    if (call_.net.form == memory::Form::feature) return z + chain;
    const at::Tensor normed = at::layer_norm(chain, {chain.size(-1)});
    return z + (gain.defined() ? normed * (1 + gain) : normed);
  }
  at::Tensor loss(const at::Tensor& M, const at::Tensor& v) const {
    const at::Tensor square = (M - v).square().sum();
    const double delta = call_.net.huber_delta;
    switch (call_.net.loss) {
      case memory::InnerLoss::l2: return square;
      case memory::InnerLoss::l2_mean: return (M - v).square().mean();
      case memory::InnerLoss::dot: return -(M * v).sum();
      default: return square.item<double>() <= delta * delta ? square : 2 * delta * square.sqrt() - delta * delta;
    }
  }
  static at::Tensor derivative(const at::Tensor& y, const at::Tensor& x) { return torch::autograd::grad({y}, {x}, {}, true, true)[0]; }

  at::Tensor read(int64_t n, int64_t t) const {
    const Tensors& W = views_.back().W;
    const at::Tensor q = of_row(call_.query, n)[t].unsqueeze(0);
    at::Tensor z = q;
    for (int64_t l = 0; l < depth_; ++l) {
      z = at::mm(z, W[l]);
      if (l + 1 < depth_) z = activate(z);
    }
    return output(q, z, gain_of(W, n));
  }

  // u of every fast weight at the given weights. Below the last matrix the error is sent back step by step, since rows of `feature`
  // are shortened to length 1 on their way.
  Gradient gradient(const at::Tensor& k, const at::Tensor& v, const Tensors& W, const at::Tensor& gain) const {
    at::AutoGradMode on(true);
    auto linked = [](const at::Tensor& x) { return x.requires_grad() ? x : x.detach().requires_grad_(true); };
    Tensors z{k}, pre;
    for (int64_t l = 0; l + 1 < depth_; ++l) {
      pre.push_back(linked(at::mm(z[l], W[l])));
      z.push_back(activate(pre[l]));
    }
    const at::Tensor chain = linked(at::mm(z[depth_ - 1], W[depth_ - 1])), g = gain.defined() ? linked(gain) : gain;
    Gradient r{{}, z, loss(output(k, chain, g), v)};
    Tensors delta(depth_);
    delta[depth_ - 1] = derivative(r.loss, chain);
    for (int64_t i = depth_ - 2; i >= 0; --i) {
      const at::Tensor back = at::mm(delta[i + 1], W[i + 1].t());
      const at::Tensor here = pre[i].view_as(pre[i]);  // `back` depends on pre too: only the way through here counts
      at::Tensor d = derivative((activate(here) * back).sum(), here);
      if (call_.net.form == memory::Form::feature && d.norm().item<double>() > 1) d = d / d.norm();
      delta[i] = d;
    }
    for (int64_t i = 0; i < depth_; ++i) r.u.push_back(at::mm(z[i].t(), delta[i]));
    if (call_.fast_gain()) r.u.push_back(derivative(r.loss, g));
    return r;
  }

  // Where token t takes its gradient in view s: features of the refresh point, or of the sweep before.
  Tensors weights_for(int64_t n, int64_t t, size_t s) const {
    if (stale_) return point_;
    Tensors W = s == 0 ? point_ : views_[s - 1].W;
    W.resize(views_[s].W.size());
    const at::Tensor& last = views_[s].W[depth_ - 1];
    const at::Tensor forget = call_.decayed ? gate(call_.alpha, n, group_end(t), depth_ - 1) : at::zeros({}, last.options());
    W[depth_ - 1] = (1 - forget) * last;
    if (!call_.initial.empty()) W[depth_ - 1] = W[depth_ - 1] + forget * of_row(call_.initial[depth_ - 1], n);
    return W;
  }

  at::Tensor add_step(int64_t n, int64_t t) {
    at::Tensor loss;
    for (size_t s = 0; s < views_.size(); ++s) {
      const Tensors W = weights_for(n, t, s);
      const Gradient g = gradient(of_row(call_.key, n)[t].unsqueeze(0), of_row(call_.value, n)[t].unsqueeze(0), W, gain_of(W, n));
      loss = g.loss;
      if (!is_step(n, t)) continue;
      at::Tensor square;
      for (const at::Tensor& u : g.u) square = square.defined() ? square + u.square().sum() : u.square().sum();
      const bool clipped = stale_ && call_.clip > 0 && square.item<double>() > call_.clip * call_.clip;
      for (size_t l = 0; l < g.u.size(); ++l) {
        at::Tensor theta = gate(call_.theta, n, t, int64_t(l));
        if (clipped) theta = theta * call_.clip / square.sqrt();
        if (stale_ && call_.guard && int64_t(l) < depth_) theta = guarded(theta, n, t, int64_t(l), g.rows[l]);
        const at::Tensor step = theta * g.u[l];
        sums_[s][l] = sums_[s][l].defined() ? sums_[s][l] + step : step;
      }
    }
    return loss;
  }

  at::Tensor guarded(const at::Tensor& theta, int64_t n, int64_t t, int64_t l, const at::Tensor& row) {
    const double half_curvature = call_.net.loss == memory::InnerLoss::l2_mean ? 1 / double(call_.value.size(3)) : 1;
    const at::Tensor keep = (call_.momentum() ? 1 - gate(call_.eta, n, group_end(t), l) : 1 - at::zeros_like(theta)) / half_curvature;
    const at::Tensor wanted = theta / keep, square = row.square().sum();
    at::Tensor load = at::zeros_like(wanted);
    for (const Written& j : waiting_[l]) load = load + j.total * (j.row * row).sum().square() / square;
    waiting_[l].push_back({row, wanted});
    const at::Tensor allowed = (0.4 - load) / square;
    ++looked_at_;
    if (wanted.item<double>() <= allowed.item<double>()) return theta;
    ++fired_;
    return keep * (allowed.item<double>() > 0 ? allowed : at::zeros_like(allowed));
  }

  void write(int64_t n, int64_t t) {
    bool moves = false;
    for (int64_t i = t + 1 - call_.group; i <= t; ++i) moves = moves || is_step(n, i);
    if (!moves) return;
    interval_ = waiting_;
    firings += fired_, steps += looked_at_;
    for (size_t s = 0; s < views_.size(); ++s)
      for (size_t l = 0; l < sums_[s].size(); ++l) {
        Fast& f = views_[s];
        f.S[l] = (call_.momentum() ? gate(call_.eta, n, t, int64_t(l)) : at::zeros({}, f.S[l].options())) * f.S[l] - sums_[s][l];
        const at::Tensor a = gate(call_.alpha, n, t, int64_t(l));
        f.W[l] = (1 - a) * f.W[l] + f.S[l];
        if (!call_.initial.empty()) f.W[l] = f.W[l] + a * of_row(call_.initial[l], n);
      }
  }

  const memory::NetworkCall& call_;
  const int64_t depth_;
  const bool stale_;
  std::vector<Fast> views_;  // of each sweep but the last; then the memory itself
  Tensors point_;
  std::vector<std::vector<Written>> interval_, waiting_;  // per matrix: completed groups, with the running one
  std::vector<Tensors> sums_;
  int64_t fired_ = 0, looked_at_ = 0;
};

/// All rows; sets `firings` and leaves the state where the call ends, so that it can stand in a kernel's place.
inline at::Tensor network_oracle(const memory::NetworkCall& call, memory::NetworkWeights& state) {
  NetworkOracle oracle(call);
  std::vector<std::vector<at::Tensor>> rows;
  for (int64_t n = 0; n < call.key.size(0) * call.key.size(1); ++n) rows.push_back(oracle.run(n, state));
  size_t next = 0;
  auto stacked = [&] {
    std::vector<at::Tensor> column;
    for (const auto& row : rows) column.push_back(row[next]);
    ++next;
    return at::stack(column).unflatten(0, call.key.sizes().slice(0, 2));
  };
  const at::Tensor reads = stacked();
  state.losses = stacked();
  auto fill = [&](std::vector<at::Tensor>& list) {
    for (at::Tensor& x : list) x = stacked();
  };
  fill(state.weights), fill(state.momentum), fill(state.refresh_point), fill(state.load);
  for (auto& sweep : state.sweep_weights) fill(sweep);
  for (auto& sweep : state.sweep_momentum) fill(sweep);
  if (call.guard) state.firings = at::scalar_tensor(oracle.firings, at::kLong);
  return reads;
}

}  // namespace mneme::test
