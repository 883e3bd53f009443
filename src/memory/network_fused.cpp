#include "memory/network_fused.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/linear.h"
#include "kernels/mlp.h"
#include "memory/guard.h"

namespace mneme::memory {
namespace {

bool two_layers(const Network& net) { return net.depth == 2 && net.form != Form::plain; }

// Sweeps and the guard run over whole refresh intervals.
bool by_intervals(const MlpCall& rule) { return rule.gradient == Gradient::sweeps || rule.guarded(); }

// A call that both kernels could not tell from one of theirs: nothing but float32 on the CPU may reach them.
void require_float(bool supported) {
  if (!supported) throw ConfigError("memory: rows and weights of the fused kernels must be float32 on the CPU, both of them");
}

at::Tensor item(const std::vector<at::Tensor>& list, size_t l) { return l < list.size() ? list[l] : at::Tensor(); }

void store(std::vector<at::Tensor>& list, size_t l, const at::Tensor& x) {
  if (l < list.size()) list[l] = x;
}

// [N,T] as [B,H,T] beside rows [B,H,T,·].
at::Tensor beside(const at::Tensor& rows, const at::Tensor& gate) { return gate.defined() ? gate.view({rows.size(0), rows.size(1), rows.size(2)}) : gate; }

at::Tensor fused_linear(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  kernels::LinearCall c{in.query, in.key, in.value, beside(in.key, call.theta[0]), beside(in.key, call.alpha[0]), beside(in.key, item(call.eta, 0))};
  const bool exact = call.gradient == Gradient::exact_last;
  c.refresh = exact ? 1 : call.refresh, c.position = call.position, c.factor = loss_factor(call.net, in.value.size(3));
  kernels::LinearState state{w.weights[0], item(w.momentum, 0), exact ? at::Tensor() : item(w.refresh_point, 0)};
  require_float(kernels::supports(c, state));
  const at::Tensor reads = kernels::linear(c, state);
  w.weights[0] = state.weights;
  store(w.momentum, 0, state.momentum);
  if (!exact) store(w.refresh_point, 0, call.refresh > 1 ? state.refresh_point : state.weights);
  return reads;
}

at::Tensor fused_mlp(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
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
  require_float(kernels::supports(c, state));
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

// The kernel sweeps and guards whole refresh intervals; what a call has before and after them is left to the tiled form.
at::Tensor fused_intervals(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  const int64_t T = call.key.size(1), head = std::min(T, (call.refresh - call.position % call.refresh) % call.refresh);
  const int64_t whole = (T - head) / call.refresh * call.refresh, tail = T - head - whole;
  std::vector<at::Tensor> reads;
  auto tiled = [&](int64_t first, int64_t steps) {
    if (steps > 0) reads.push_back(mlp_chunked(part(call, first, steps), w).reshape({in.key.size(0), in.key.size(1), steps, -1}));
  };
  auto fused = [&](const MlpCall& intervals, const MemoryInput& rows) {
    reads.push_back(fused_mlp(intervals, rows, w));
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

std::string why_not_fused(const MlpCall& rule, const CallShape& call) {
  const Network& net = rule.net;
  const bool one_matrix = net.depth == 1 && net.form == Form::plain, mlp = two_layers(net);
  auto tokens = [](int64_t n) { return std::to_string(n) + (n == 1 ? " token" : " tokens"); };
  // What holds of every call.
  if (!one_matrix && !mlp)
    return "it has one matrix alone, or two with the form feature or residual+norm, not " + std::to_string(net.depth) +
           (net.form == Form::plain ? " of the form plain" : net.form == Form::feature ? " of the form feature" : " of the form residual+norm");
  if (net.loss == InnerLoss::dot || net.loss == InnerLoss::huber)
    return std::string("it has squared losses, not memory.inner_loss = ") + (net.loss == InnerLoss::dot ? "dot" : "huber");
  if (net.activation != Activation::gelu) return "it has exact GELU, not gelu_sigmoid";
  if (rule.group > 1) return "a group of " + tokens(rule.group) + " is one step";
  if (rule.read_before) return "a token reads before its own write";
  if (rule.decayed) return "gradients are taken after forgetting (memory.gradient_at = decayed)";
  if (rule.clipped()) return "memory.clip shortens gradients";
  if (one_matrix && rule.guarded()) return "it guards networks of two matrices only (memory.guard)";
  if (one_matrix && !rule.initial.empty()) return "forgetting leads to the initial weights of one matrix (memory.retention_target = init)";
  if (rule.gradient == Gradient::sweeps && net.form != Form::feature) return "it sweeps the form feature only";
  if (by_intervals(rule) && rule.refresh > kernels::kTileTokens)
    return "a refresh interval of " + tokens(rule.refresh) + " is longer than its tiles of " + std::to_string(kernels::kTileTokens);
  // What depends on the call.
  if (!call.cpu) return "it runs on the CPU";
  if (call.dtype != at::kFloat) return call.dtype == at::kDouble ? "double precision: it has float32" : "it has float32";
  if (call.masked) return "some tokens are no steps";
  if (call.measured) return "losses are asked for";
  if (call.tokens == 0) return "there is no token";
  if (by_intervals(rule) && call.tokens < rule.refresh)
    return tokens(call.tokens) + (call.tokens == 1 ? " holds" : " hold") + " no whole refresh interval of " + std::to_string(rule.refresh);
  return {};
}

at::Tensor run_fused(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  if (by_intervals(call)) return fused_intervals(call, in, w);
  return two_layers(call.net) ? fused_mlp(call, in, w) : fused_linear(call, in, w);
}

}  // namespace mneme::memory
