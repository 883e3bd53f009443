#include <ATen/ATen.h>

#include <algorithm>

#include "kernels/network.h"
#include "memory/guard.h"
#include "memory/network_kernels.h"

namespace mneme::memory {
namespace {

bool two_layers(const Network& net) { return net.depth == 2 && net.form != Form::plain; }

// Sweeps and the guard run over whole refresh intervals.
bool by_intervals(const NetworkCall& rule) { return rule.gradient == Gradient::sweeps || rule.guarded(); }

at::Tensor run_fused(const NetworkCall& call, NetworkWeights& w) {
  kernels::NetworkCall c{call.query, call.key, call.value, call.theta, call.alpha, call.eta, call.initial, call.gain};
  c.form = !two_layers(call.net) ? kernels::Form::linear : call.net.form == Form::feature ? kernels::Form::feature : kernels::Form::residual_norm;
  c.exact_last = call.gradient != Gradient::refresh, c.refresh = call.refresh, c.position = call.position;
  c.factor = loss_factor(call.net, call.value.size(3));
  if (call.gradient == Gradient::sweeps) c.sweeps = call.sweeps;
  if (call.guarded()) c.guard_limit = kGuardLimit;
  kernels::NetworkState state{w.weights, w.momentum, w.refresh_point};
  // A call that the kernel could not tell from one of its own: nothing but float32 on the CPU may reach it.
  if (!kernels::supports(c, state)) throw ConfigError("memory: rows and weights of the fused kernels must be float32 on the CPU, both of them");
  const at::Tensor reads = kernels::network(c, state);
  w.weights = state.weights, w.momentum = state.momentum, w.refresh_point = state.refresh_point;
  return reads;
}

// Tokens [first, first + steps) of a call.
NetworkCall part_of(NetworkCall call, int64_t first, int64_t steps) {
  for (at::Tensor* x : {&call.query, &call.key, &call.value, &call.theta, &call.alpha, &call.eta})
    if (x->defined()) *x = x->narrow(2, first, steps);
  call.position += first;
  return call;
}

// The kernel sweeps and guards whole refresh intervals; what a call has before and after them is left to the tiles.
at::Tensor run_fused_intervals(const NetworkCall& call, NetworkWeights& w) {
  const int64_t T = call.key.size(2), head = std::min(T, (call.refresh - call.position % call.refresh) % call.refresh);
  const int64_t whole = (T - head) / call.refresh * call.refresh, tail = T - head - whole;
  std::vector<at::Tensor> reads;
  if (head > 0) reads.push_back(network_chunked(part_of(call, 0, head), w));
  if (whole > 0) {
    reads.push_back(run_fused(whole == T ? call : part_of(call, head, whole), w));
    begin_interval(call, w);
  }
  if (tail > 0) reads.push_back(network_chunked(part_of(call, head + whole, tail), w));
  w.firings = at::Tensor();  // counted with the losses, which the kernel does not give
  return reads.size() == 1 ? reads[0] : at::cat(reads, 2);
}

}  // namespace

std::string why_not_fused(const NetworkCall& rule, const CallShape& call) {
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

at::Tensor network_fused(const NetworkCall& call, NetworkWeights& w) {
  return by_intervals(call) ? run_fused_intervals(call, w) : run_fused(call, w);
}

}  // namespace mneme::memory
