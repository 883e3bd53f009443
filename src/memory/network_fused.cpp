#include "memory/network_fused.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/linear.h"
#include "kernels/mlp.h"
#include "memory/guard.h"

namespace mneme::memory {
namespace {

// What the fused kernels leave to the tiled form.
bool plain_recurrence(const MlpCall& call) {
  return call.group == 1 && !call.step.defined() && !call.read_before && !call.decayed && call.clip == 0 && !call.losses &&
         call.net.activation == Activation::gelu &&
         (call.net.loss == InnerLoss::l2 || call.net.loss == InnerLoss::l2_mean);
}

at::Tensor item(const std::vector<at::Tensor>& list, size_t l) { return l < list.size() ? list[l] : at::Tensor(); }

void store(std::vector<at::Tensor>& list, size_t l, const at::Tensor& x) {
  if (l < list.size()) list[l] = x;
}

// [N,T] as [B,H,T] beside rows [B,H,T,·].
at::Tensor beside(const at::Tensor& rows, const at::Tensor& gate) { return gate.defined() ? gate.view({rows.size(0), rows.size(1), rows.size(2)}) : gate; }

std::optional<at::Tensor> fused_linear(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  if (!call.initial.empty()) return std::nullopt;
  kernels::LinearCall c{in.query, in.key, in.value, beside(in.key, call.theta[0]), beside(in.key, call.alpha[0]), beside(in.key, item(call.eta, 0))};
  const bool exact = call.gradient == Gradient::exact_last;
  c.refresh = exact ? 1 : call.refresh, c.position = call.position, c.factor = loss_factor(call.net, in.value.size(3));
  kernels::LinearState state{w.weights[0], item(w.momentum, 0), exact ? at::Tensor() : item(w.refresh_point, 0)};
  if (!kernels::supports(c, state)) return std::nullopt;
  const at::Tensor reads = kernels::linear(c, state);
  w.weights[0] = state.weights;
  store(w.momentum, 0, state.momentum);
  if (!exact) store(w.refresh_point, 0, call.refresh > 1 ? state.refresh_point : state.weights);
  return reads;
}

std::optional<at::Tensor> fused_mlp(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  kernels::MlpCall c;
  c.query = in.query, c.key = in.key, c.value = in.value;
  c.form = call.net.form == Form::feature ? kernels::Form::feature : kernels::Form::residual_norm;
  c.exact_last = call.gradient != Gradient::refresh, c.refresh = call.refresh, c.position = call.position;
  if (call.gradient == Gradient::sweeps) c.sweeps = call.sweeps;
  if (call.guarded()) c.guard_limit = kGuardLimit;
  c.factor = loss_factor(call.net, in.value.size(3)), c.gain = call.gain;
  kernels::MlpState state;
  for (size_t l = 0; l < w.weights.size(); ++l) {
    c.theta[l] = beside(in.key, call.theta[l]), c.alpha[l] = beside(in.key, call.alpha[l]), c.eta[l] = beside(in.key, item(call.eta, l));
    c.initial[l] = item(call.initial, l);
    state.weights[l] = w.weights[l], state.momentum[l] = item(w.momentum, l), state.refresh_point[l] = item(w.refresh_point, l);
  }
  if (!kernels::supports(c, state)) return std::nullopt;
  const at::Tensor reads = kernels::mlp(c, state);
  for (size_t l = 0; l < w.weights.size(); ++l) {
    w.weights[l] = state.weights[l];
    store(w.momentum, l, state.momentum[l]), store(w.refresh_point, l, state.refresh_point[l]);
  }
  return reads;
}

// Tokens [first, first + steps) of a call.
MlpCall part(MlpCall call, int64_t first, int64_t steps) {
  auto cut = [&](at::Tensor& x) { x = x.narrow(1, first, steps); };
  cut(call.query), cut(call.key), cut(call.value);
  for (auto* gates : {&call.theta, &call.alpha, &call.eta})
    for (at::Tensor& gate : *gates) cut(gate);
  call.position += first;
  return call;
}

bool fits(const MemoryInput& in, const MlpWeights& w) {
  kernels::MlpCall call;
  kernels::MlpState state;
  call.query = in.query, state.weights[0] = w.weights[0];
  return kernels::supports(call, state);
}

// The kernel sweeps and guards whole refresh intervals; what a call has before and after them is left to the tiled form.
std::optional<at::Tensor> fused_intervals(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  const int64_t T = call.key.size(1), head = std::min(T, (call.refresh - call.position % call.refresh) % call.refresh);
  const int64_t whole = (T - head) / call.refresh * call.refresh, tail = T - head - whole;
  if (call.refresh > kernels::kTileTokens || !fits(in, w)) return std::nullopt;
  std::vector<at::Tensor> reads;
  auto tiled = [&](int64_t first, int64_t steps) {
    if (steps > 0) reads.push_back(mlp_chunked(part(call, first, steps), w).reshape({in.key.size(0), in.key.size(1), steps, -1}));
  };
  auto fused = [&](const MlpCall& intervals, const MemoryInput& rows) {
    reads.push_back(*fused_mlp(intervals, rows, w));
    begin_interval(w);
  };
  tiled(0, head);
  if (whole == T) {
    fused(call, in);
  } else if (whole > 0) {
    MemoryInput middle = in;
    for (at::Tensor* x : {&middle.query, &middle.key, &middle.value}) *x = x->narrow(2, head, whole);
    fused(part(call, head, whole), middle);
  }
  tiled(head + whole, tail);
  w.firings = at::Tensor();  // counted with the losses, which the kernel does not give
  return reads.size() == 1 ? reads[0] : at::cat(reads, 2);
}

}  // namespace

std::optional<at::Tensor> run_fused(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  if (!plain_recurrence(call)) return std::nullopt;
  const bool mlp = call.net.depth == 2 && call.net.form != Form::plain, sweeps = call.gradient == Gradient::sweeps;
  if (sweeps && call.net.form != Form::feature) return std::nullopt;
  if (sweeps || call.guarded()) return mlp ? fused_intervals(call, in, w) : std::nullopt;
  if (call.net.depth == 1 && call.net.form == Form::plain) return fused_linear(call, in, w);
  if (mlp) return fused_mlp(call, in, w);
  return std::nullopt;
}

}  // namespace mneme::memory
