#include "memory/gates.h"

#include <ATen/ATen.h>

#include "memory/group_average.h"

namespace mneme {

void measure_gates(const MemoryInput& input, Probe& probe) {
  auto gate = [&](const std::string& name, const std::string& what, const at::Tensor& x) {
    probe.mean({name + "_mean", "1", what + ", mean over tokens, heads and fast weights"}, x.mean().item<double>(), double(x.numel()));
    probe.largest({name + "_max", "1", what + ", largest"}, x.max().item<double>());
  };
  gate("theta", "step size", input.theta);
  gate("alpha", "forgetting", input.alpha);
  gate("eta", "momentum", input.eta);
}

MemoryGates::MemoryGates(const BlockContext& context, int64_t layers)
    : options_(context.memory), heads_(options_.heads), layers_(layers), own_heads_(options_.gate_per_head ? heads_ : 1),
      steps_(options_.keys_per_token) {
  const int64_t C = context.model.width, each = steps_ * own_heads_ * layers_;
  at::Generator g = context.generator;
  weights_ = register_parameter("gate", at::empty({3 * each, 2 * C}, at::kFloat).normal_(0, 0.02, g));
  if (options_.group > 1 && options_.gate_pooling == "attention") pool_ = register_parameter("pool", at::zeros({2 * each, C}, at::kFloat));
}

at::Tensor MemoryGates::logits(const at::Tensor& x, State& state) const {
  const int64_t B = x.size(0), T = x.size(1), C = x.size(2);
  const std::vector<at::Tensor> both = at::linear(x, weights_.view({-1, C})).view({B, T, -1, 2}).unbind(3);
  const at::Tensor &now = both[0], &shifted = both[1];
  at::Tensor& tail = state.tensor("gate_tail");  // [B,1,3nHG]
  const at::Tensor first = tail.defined() ? tail : at::zeros({B, 1, now.size(2)}, now.options());
  tail = shifted.narrow(1, T - 1, 1).clone();
  return (now + at::cat({first, shifted.narrow(1, 0, T - 1)}, 1)) * options_.gate_scale;
}

// Logits of α and η [B,T,2nHG] → at each group's last token those of the group.
at::Tensor MemoryGates::pooled(const at::Tensor& x, const at::Tensor& logits, const at::Tensor& step, State& state) const {
  at::Tensor weight = pool_.defined() ? (at::linear(x, pool_) / 8).tanh().mul(8).exp() : at::ones_like(logits);
  if (step.defined()) weight = weight * step.unsqueeze(2).to(weight.scalar_type());
  return group_average(logits, weight, options_.group, state);
}

GateValues MemoryGates::forward(const at::Tensor& x, const at::Tensor& step, State& state, ForwardContext* context) {
  const int64_t B = x.size(0), T = x.size(1), n = steps_, each = n * own_heads_ * layers_;
  const at::Tensor all = logits(x, state);
  at::Tensor slow = all.narrow(2, each, 2 * each);
  if (options_.group > 1) slow = pooled(x, slow, step, state);
  auto gate = [&](const at::Tensor& rows, double bias) {  // [B,T,nHG] → [B,H,T·n,G]
    const at::Tensor y = (rows + bias).sigmoid().view({B, T * n, own_heads_, layers_}).transpose(1, 2);
    return own_heads_ == heads_ ? y : y.expand({B, heads_, T * n, layers_});
  };
  const at::Tensor write = gate(all.narrow(2, 0, each), options_.theta_bias);
  if (context && options_.write_penalty > 0 && at::GradMode::is_enabled()) {
    const at::Tensor penalty = write.mean() * options_.write_penalty;
    context->penalty = context->penalty.defined() ? context->penalty + penalty : penalty;
  }
  GateValues g;
  g.theta = write * options_.theta_max;
  g.alpha = options_.forgetting ? gate(slow.narrow(2, 0, each), options_.alpha_bias) : at::zeros_like(write);
  g.eta = options_.momentum ? gate(slow.narrow(2, each, each), options_.eta_bias) : at::zeros_like(write);
  if (options_.momentum && options_.momentum_damping && options_.group == 1) g.theta = g.theta * (1 - g.eta);
  return g;
}

}  // namespace mneme
