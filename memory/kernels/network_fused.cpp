#include "memory/kernels/network_fused.h"

#include <ATen/ATen.h>

#include "memory/kernels/fused/linear.h"
#include "memory/kernels/fused/mlp.h"

namespace mneme::memory {
namespace {

// What the fused kernels leave to the tiled form.
bool plain_recurrence(const MlpCall& call) {
  return call.group == 1 && !call.step.defined() && !call.read_before && !call.decayed && !call.guard && call.clip == 0 && !call.losses &&
         call.gradient != Gradient::sweeps && call.net.activation == Activation::gelu &&
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
  fused::LinearCall c{in.query, in.key, in.value, beside(in.key, call.theta[0]), beside(in.key, call.alpha[0]), beside(in.key, item(call.eta, 0))};
  const bool exact = call.gradient == Gradient::exact_last;
  c.refresh = exact ? 1 : call.refresh, c.position = call.position, c.factor = loss_factor(call.net, in.value.size(3));
  fused::LinearState state{w.weights[0], item(w.momentum, 0), exact ? at::Tensor() : item(w.refresh_point, 0)};
  if (!fused::supports(c, state)) return std::nullopt;
  const at::Tensor reads = fused::linear(c, state);
  w.weights[0] = state.weights;
  store(w.momentum, 0, state.momentum);
  if (!exact) store(w.refresh_point, 0, state.refresh_point);
  return reads;
}

std::optional<at::Tensor> fused_mlp(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  fused::MlpCall c;
  c.query = in.query, c.key = in.key, c.value = in.value;
  c.form = call.net.form == Form::feature ? fused::Form::feature : fused::Form::residual_norm;
  c.exact_last = call.gradient == Gradient::exact_last, c.refresh = call.refresh, c.position = call.position;
  c.factor = loss_factor(call.net, in.value.size(3)), c.gain = call.gain;
  fused::MlpState state;
  for (size_t l = 0; l < w.weights.size(); ++l) {
    c.theta[l] = beside(in.key, call.theta[l]), c.alpha[l] = beside(in.key, call.alpha[l]), c.eta[l] = beside(in.key, item(call.eta, l));
    c.initial[l] = item(call.initial, l);
    state.weights[l] = w.weights[l], state.momentum[l] = item(w.momentum, l), state.refresh_point[l] = item(w.refresh_point, l);
  }
  if (!fused::supports(c, state)) return std::nullopt;
  const at::Tensor reads = fused::mlp(c, state);
  for (size_t l = 0; l < w.weights.size(); ++l) {
    w.weights[l] = state.weights[l];
    store(w.momentum, l, state.momentum[l]), store(w.refresh_point, l, state.refresh_point[l]);
  }
  return reads;
}

}  // namespace

std::optional<at::Tensor> run_fused(const MlpCall& call, const MemoryInput& in, MlpWeights& w) {
  if (!plain_recurrence(call)) return std::nullopt;
  if (call.net.depth == 1 && call.net.form == Form::plain) return fused_linear(call, in, w);
  if (call.net.depth == 2 && call.net.form != Form::plain) return fused_mlp(call, in, w);
  return std::nullopt;
}

}  // namespace mneme::memory
