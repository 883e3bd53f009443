#include <ATen/ATen.h>

#include <vector>

#include "memory/group.h"
#include "memory/guard.h"
#include "memory/inner_gradient.h"
#include "memory/network_rows.h"

namespace mneme::memory {
namespace {

// One pass over the tokens; every member is at the current token.
class Loop {
 public:
  Loop(const NetworkCall& call, NetworkWeights& state) : call_(call), x_(call), s_(state), tokens_(call.key.size(2)) {
    for (const at::Tensor& eta : x_.eta) group_eta_.push_back(at_group_end(eta, 1, call.group));
    if (call.decayed) group_alpha_ = at_group_end(x_.alpha[last()], 1, call.group);
  }

  at::Tensor run() {
    std::vector<at::Tensor> reads;
    for (int64_t t = 0; t < tokens_; ++t) {
      if ((call_.position + t) % call_.refresh == 0) begin_interval(call_, s_);
      if (t % call_.group == 0) sums_.clear(), load_ = s_.load, firings_ = at::Tensor();
      const at::Tensor before = call_.read_before ? read(t) : at::Tensor();
      add_gradient(t);
      if ((t + 1) % call_.group == 0) write(t);
      reads.push_back(call_.read_before ? before : read(t));
    }
    if ((call_.position + tokens_) % call_.refresh == 0) begin_interval(call_, s_);
    if (call_.losses) s_.losses = at::cat(losses_, 1);
    return at::cat(reads, 1);
  }

 private:
  int64_t last() const { return call_.net.depth - 1; }
  static at::Tensor token(const at::Tensor& rows, int64_t t) { return rows.narrow(1, t, 1); }               // [N,1,·]
  static at::Tensor gate(const at::Tensor& gates, int64_t t) { return gates.narrow(1, t, 1).unsqueeze(2); }  // [N,1,1]
  const at::Tensor& gain(const std::vector<at::Tensor>& w) const { return call_.fast_gain() ? w[call_.net.depth] : x_.gain; }

  at::Tensor read(int64_t t) const {
    const std::vector<at::Tensor> matrices(s_.weights.begin(), s_.weights.begin() + call_.net.depth);
    return network_apply(call_.net, token(x_.query, t), matrices, gain(s_.weights));
  }

  // The last matrix at which token t takes its gradient.
  at::Tensor own_last(int64_t t) const {
    const at::Tensor& W = s_.weights[last()];
    if (!call_.decayed) return W;
    const at::Tensor forget = gate(group_alpha_, t);
    return x_.initial.empty() ? (1 - forget) * W : (1 - forget) * W + forget * x_.initial[last()];
  }

  void add_gradient(int64_t t) {
    const at::Tensor k = token(x_.key, t), v = token(x_.value, t);
    InnerGradient g = key_features(call_.net, k, s_.refresh_point);
    if (call_.gradient == Gradient::refresh) {
      error_rows(call_.net, k, v, s_.refresh_point, gain(s_.refresh_point), call_.fast_gain(), g);
    } else {
      std::vector<at::Tensor> weights = s_.refresh_point;
      weights.push_back(own_last(t));
      error_rows(call_.net, k, v, weights, gain(s_.weights), call_.fast_gain(), g);
    }
    if (call_.losses) losses_.push_back(loss_rows(call_.net, g.output, v));
    const at::Tensor shrink = call_.clipped() ? (squared_gradient(g) + 1e-24).rsqrt().mul(call_.clip).clamp_max(1) : at::Tensor();
    for (size_t l = 0; l < g.deltas.size(); ++l) {
      const bool matrix = int64_t(l) < call_.net.depth;
      at::Tensor theta = token(x_.theta[l], t);
      if (x_.step.defined()) theta = theta * token(x_.step, t);
      if (shrink.defined()) theta = theta * shrink;
      if (call_.guarded() && matrix) {
        const Guarded guarded = guard(g.inputs[l], theta, call_.momentum() ? token(group_eta_[l], t) : at::Tensor(), load_[l],
                                      loss_factor(call_.net, v.size(2)) / 2);
        load_[l] = guarded.load;
        theta = theta * guarded.factor;
        firings_ = firings_.defined() ? firings_ + guarded.firings : guarded.firings;
      }
      const at::Tensor u = matrix ? at::bmm(g.inputs[l].transpose(1, 2), g.deltas[l]) : g.deltas[l];
      const at::Tensor step = theta.unsqueeze(2) * u;
      if (sums_.size() <= l)
        sums_.push_back(step);
      else
        sums_[l] = sums_[l] + step;
    }
  }

  void write(int64_t t) {
    s_.load = load_;
    if (firings_.defined()) s_.firings = s_.firings + firings_;
    at::Tensor moves;  // [N,1,1] whether any token of the group is a step
    if (x_.step.defined()) moves = std::get<0>(x_.step.narrow(1, t + 1 - call_.group, call_.group).max(1)).view({-1, 1, 1});
    for (size_t l = 0; l < sums_.size(); ++l) {
      const at::Tensor forget = gate(x_.alpha[l], t);
      const at::Tensor S = call_.momentum() ? gate(x_.eta[l], t) * s_.momentum[l] - sums_[l] : -sums_[l];
      at::Tensor W = (1 - forget) * s_.weights[l] + S;
      if (!x_.initial.empty()) W = W + forget * x_.initial[l];
      auto moved = [&](const at::Tensor& next, const at::Tensor& held) { return moves.defined() ? at::where(moves > 0, next, held) : next; };
      s_.weights[l] = moved(W, s_.weights[l]);
      if (call_.momentum()) s_.momentum[l] = moved(S, s_.momentum[l]);
    }
  }

  const NetworkCall& call_;
  const NetworkRows x_;
  NetworkWeights& s_;
  const int64_t tokens_;
  std::vector<at::Tensor> losses_;
  std::vector<at::Tensor> group_eta_;  // at each token that of its group's last one
  at::Tensor group_alpha_;             // the same, of the last matrix
  // Of the running group, which counts once it is complete: Σ θ u per fast weight, what the guard has seen and done.
  std::vector<at::Tensor> sums_, load_;
  at::Tensor firings_;
};

}  // namespace

std::string why_not_reference(const NetworkCall& rule, const CallShape&) {
  return rule.gradient == Gradient::sweeps ? "it has no sweeps: what they converge to is memory.gradient = refresh, memory.refresh = 1" : "";
}

at::Tensor network_reference(const NetworkCall& call, NetworkWeights& state) {
  to_rows(call, state);
  const at::Tensor reads = call.key.size(2) == 0 ? at::empty_like(call.value) : to_heads(call, Loop(call, state).run());
  to_heads(call, state);
  return reads;
}

}  // namespace mneme::memory
