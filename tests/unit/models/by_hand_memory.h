// One head of a memory for one row, written out: memory-math sections 1 and 2. Inner gradients come from autograd on the inner loss,
// never from a closed form; a group of steps is worked out when it ends. Options that the tests do not set here: sweeps.
#pragma once

#include "mneme/model_options.h"
#include "tests/unit/models/by_hand.h"
#include "tests/support/memory_options.h"

namespace mneme::test::by_hand {

struct Gates {
  std::vector<at::Tensor> theta, alpha, eta;  // scalars, per fast weight; θ without damping
};

class Memory {
 public:
  /// p: of the memory; refresh and group count steps.
  Memory(const AnyMemory& o, const Parameters& p, int64_t head) : o_(o) {
    depth_ = o.kind == "linear" ? 1 : o.depth;
    form_ = o.kind == "linear" ? "plain" : o.form;
    for (int64_t l = 0; l < depth_; ++l) initial_.push_back(p.at("weights_" + std::to_string(l))[head]);
    if (form_ == "residual+norm") gain_ = p.at("gain")[head][0];
    if (o.fast_gain) initial_.push_back(gain_);
    if (p.count("lower_step")) lower_ = logistic(p.at("lower_step")[head]);
    if (p.count("features")) features_ = p.at("features")[head];
    weights_ = point_ = initial_;
    for (const at::Tensor& w : initial_) momentum_.push_back(at::zeros_like(w));
    const bool norm = form_ == "residual+norm" || o.inner_loss == "huber";
    stale_ = o.gradient == "refresh" || (o.gradient == "auto" && norm);
    to_initial_ = o.retention_target == "init" || (o.retention_target == "auto" && o.kind == "neural_mlp");
    earlier_.resize(depth_);
  }

  /// One step, and what the query reads. `active`: false for padding.
  at::Tensor step(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const Gates& gates, bool active) {
    const at::Tensor before = read(query);
    group_.push_back({mapped(key), value, gates.theta, active});
    if (int64_t(group_.size()) == o_.group) write(gates.alpha, gates.eta);
    if (++steps_ % o_.refresh == 0) {
      point_ = weights_;
      for (auto& of_matrix : earlier_) of_matrix.clear();
    }
    return o_.read == "before" ? before : read(query);
  }

  /// The inner loss of a step to come, at the weights its gradient is taken at.
  at::Tensor inner_loss(const at::Tensor& key, const at::Tensor& value, const std::vector<at::Tensor>& alpha) const {
    const std::vector<at::Tensor> w = point(alpha);
    const at::Tensor z = mapped(key);
    at::Tensor rows = z;
    for (int64_t l = 0; l < depth_; ++l) rows = at::matmul(l ? hidden(rows) : rows, w[l]);
    return loss(output(z, rows, gain_of(w)), value);
  }

  at::Tensor read(const at::Tensor& query) const { return read(query, weights_); }
  at::Tensor read(const at::Tensor& query, const std::vector<at::Tensor>& weights) const {
    const at::Tensor z = mapped(query);
    at::Tensor rows = z;
    for (int64_t l = 0; l < depth_; ++l) rows = at::matmul(l ? hidden(rows) : rows, weights[l]);
    return output(z, rows, gain_of(weights));
  }
  const std::vector<at::Tensor>& weights() const { return weights_; }

 private:
  struct Step {
    at::Tensor key, value;
    std::vector<at::Tensor> theta;
    bool active;
  };
  struct Gradient {
    std::vector<at::Tensor> inputs, errors;  // A_l, Δ_l: the gradient for a matrix is the outer product
    at::Tensor of_gain;
  };
  struct Written {
    at::Tensor row, theta;  // with all its momentum
  };

  at::Tensor mapped(const at::Tensor& x) const { return features_.defined() ? unit(exact_gelu(at::matmul(x, features_))) : x; }
  at::Tensor gain_of(const std::vector<at::Tensor>& w) const { return o_.fast_gain ? w[depth_].view({-1}) : gain_; }

  at::Tensor hidden(const at::Tensor& pre) const {
    const at::Tensor a = o_.activation == "gelu" ? exact_gelu(pre) : pre * logistic(1.702 * pre);
    return form_ == "feature" ? unit(a) : a;
  }

  at::Tensor output(const at::Tensor& z, const at::Tensor& chain, const at::Tensor& gain) const {
    if (form_ == "plain") return chain;
    if (form_ == "feature") return z + chain;
    const at::Tensor centred = chain - chain.mean();
    return z + centred / (centred.square().mean() + 1e-5).sqrt() * (1 + gain);
  }

  at::Tensor loss(const at::Tensor& y, const at::Tensor& v) const {
    if (o_.inner_loss == "dot") return -(y * v).sum();
    const at::Tensor square = (y - v).square().sum();
    if (o_.inner_loss == "l2_mean") return square / double(v.numel());
    const double delta = o_.huber_delta;
    if (o_.inner_loss == "huber" && square.item<double>() > delta * delta) return 2 * delta * square.sqrt() - delta * delta;
    return square;
  }

  static at::Tensor derivative(const at::Tensor& y, const at::Tensor& x, const at::Tensor& along = {}) {
    return torch::autograd::grad({y}, {x}, along.defined() ? std::vector<at::Tensor>{along} : std::vector<at::Tensor>{}, true, true)[0];
  }

  // Features at the refresh point; the last matrix there too, or the step's own with exact gradients.
  std::vector<at::Tensor> point(const std::vector<at::Tensor>& alpha) const {
    std::vector<at::Tensor> w = point_;
    const size_t last = depth_ - 1;
    if (!stale_) w[last] = o_.gradient_at == "decayed" ? kept(alpha[last], last) : weights_[last];
    return w;
  }

  Gradient gradient(const Step& s, const std::vector<at::Tensor>& alpha) const {
    const std::vector<at::Tensor> w = point(alpha);
    const size_t last = depth_ - 1;
    std::vector<at::Tensor> pre;
    Gradient u;
    at::Tensor rows = s.key;
    for (int64_t l = 0; l < depth_; ++l) {
      u.inputs.push_back(rows);
      pre.push_back(at::matmul(rows, w[l]));
      rows = hidden(pre[l]);
    }
    const at::Tensor gain = gain_of(w), value = loss(output(s.key, pre[last], gain), s.value);
    u.errors.resize(depth_);
    u.errors[last] = derivative(value, pre[last]);
    if (o_.fast_gain) u.of_gain = derivative(value, gain);
    for (int64_t l = last - 1; l >= 0; --l) {
      u.errors[l] = derivative(hidden(pre[l]), pre[l], at::mv(w[l + 1], u.errors[l + 1]));
      if (form_ == "feature") u.errors[l] = shortened(u.errors[l], 1, length(u.errors[l]));
    }
    return u;
  }

  static at::Tensor shortened(const at::Tensor& x, double limit, const at::Tensor& size) {
    return size.item<double>() > limit ? x * (limit / size) : x;
  }

  // (1 − α) W, or the same on the way to the initial weights.
  at::Tensor kept(const at::Tensor& alpha, size_t l) const {
    const at::Tensor rest = (1 - alpha) * weights_[l];
    return to_initial_ ? rest + alpha * initial_[l] : rest;
  }

  // What the guard leaves of a step: Σ θ' (A_j·A)² / ‖A‖² of the interval's earlier steps, as they were asked for, and its own
  // θ' ‖A‖² stay within 0.4.
  at::Tensor guarded(const at::Tensor& theta, const at::Tensor& eta, const at::Tensor& row, size_t l) {
    const double curvature = o_.inner_loss == "l2_mean" ? 1.0 / double(momentum_[depth_ - 1].size(1)) : 1;
    const at::Tensor total = theta / (1 - eta) * curvature, square = row.square().sum();
    at::Tensor load = at::zeros({}, row.options());
    for (const Written& w : earlier_[l]) load = load + w.theta * (w.row * row).sum().square() / square;
    earlier_[l].push_back({row, total});
    return theta * ((0.4 - load) / (total * square)).clamp(0, 1);
  }

  void write(const std::vector<at::Tensor>& alpha, const std::vector<at::Tensor>& eta) {
    const size_t count = weights_.size();
    std::vector<at::Tensor> sums;
    for (const at::Tensor& w : weights_) sums.push_back(at::zeros_like(w));
    bool moves = false;
    for (const Step& s : group_) {
      if (!s.active) continue;
      moves = true;
      const Gradient u = gradient(s, alpha);
      at::Tensor square = u.of_gain.defined() ? u.of_gain.square().sum() : at::zeros({}, s.key.options());
      for (int64_t l = 0; l < depth_; ++l) square = square + u.inputs[l].square().sum() * u.errors[l].square().sum();
      for (size_t l = 0; l < count; ++l) {
        const bool matrix = int64_t(l) < depth_;
        at::Tensor theta = s.theta[l];
        if (o_.momentum && o_.momentum_damping) theta = (1 - eta[l]) * theta;
        if (lower_.defined() && int64_t(l) + 1 < depth_) theta = lower_[l] * theta;
        if (stale_ && o_.clip > 0) theta = shortened(theta, o_.clip, square.sqrt());
        if (stale_ && o_.guard && o_.refresh > 1 && o_.inner_loss != "dot" && matrix) theta = guarded(theta, eta[l], u.inputs[l], l);
        sums[l] = sums[l] + theta * (matrix ? at::outer(u.inputs[l], u.errors[l]) : u.of_gain);
      }
    }
    group_.clear();
    for (size_t l = 0; l < count && moves; ++l) {
      momentum_[l] = o_.momentum ? eta[l] * momentum_[l] - sums[l] : -sums[l];
      weights_[l] = kept(alpha[l], l) + momentum_[l];
    }
  }

  const AnyMemory o_;
  int64_t depth_, steps_ = 0;
  std::string form_;
  bool stale_, to_initial_;
  std::vector<at::Tensor> initial_, weights_, momentum_, point_;
  at::Tensor gain_, lower_, features_;
  std::vector<Step> group_;
  std::vector<std::vector<Written>> earlier_;
};

}  // namespace mneme::test::by_hand
