#include "models/memory_layer.h"

#include <ATen/ATen.h>

#include "models/clock_phases.h"
#include "models/projections.h"
#include "nn/init.h"
#include "nn/row_norm.h"
#include "nn/short_conv.h"

namespace mneme {

MemoryLayer::MemoryLayer(const BlockContext& context)
    : model_(context.model), options_(context.memory), layer_(context.layer), heads_(options_.heads) {
  const int64_t C = model_.width;
  head_width_ = options_.head_width ? options_.head_width : C / heads_;
  const int64_t inner = heads_ * head_width_;
  memory_ = MemoryRegistry::instance().get(options_.kind).make({options_, heads_, head_width_, context.generator});
  if (!memory_) throw ConfigError("memory.kind = none: model.kind = " + model_.kind + " needs a memory; choose linear or neural_mlp");
  register_module("memory", memory_);
  gate_layers_ = memory_->gate_layers();
  at::Generator g = context.generator;
  qkv_ = register_parameter("qkv", qkv_weight(C, inner, inner, model_.conv_width > 0 && model_.conv_init == "shift", g));
  if (model_.conv_width > 0) taps_ = register_parameter("conv", qkv_taps(model_, inner, inner, g));
  gate_ = register_parameter("gate", at::empty({3 * heads_ * gate_layers_, 2 * C}, at::kFloat).normal_(0, 0.02, g));
  if (model_.persistent_tokens > 0)
    persistent_ = register_parameter("persistent", at::empty({model_.persistent_tokens, C}, at::kFloat).normal_(0, 1, g));
  norm_ = register_parameter("norm", at::ones({head_width_}, at::kFloat));
  out_gate_ = register_parameter("out_gate", nn::linear_weight(inner, C, g));
  out_ = register_parameter("out", nn::linear_weight(C, inner, g, 0.5));
}

at::Tensor MemoryLayer::forward(const at::Tensor& x, State& state, ForwardContext& context) {
  return by_phase(x, state, context, period(), [&](const at::Tensor& rows, State& part, ForwardContext& inner) {
    begin(part, rows.size(0));
    part.advance(rows.size(1));
    return run(rows, part, &inner);
  });
}

void MemoryLayer::begin(State& state, int64_t rows) {
  if (!writes() || !state.child("memory").empty()) return;
  if (persistent_.defined())
    run(persistent_.unsqueeze(0).expand({rows, -1, -1}), state, nullptr);
  else
    memory_->start(state.child("memory"), rows);
}

void MemoryLayer::reset(State& state, const at::Tensor& rows) {
  State fresh;
  begin(fresh, 1);
  state = with_rows(state, rows, fresh, 1);
}

bool MemoryLayer::writes() const { return !options_.off; }

int64_t MemoryLayer::period() const { return memory_->period(); }

at::Tensor MemoryLayer::queries(const at::Tensor& x, at::Tensor& tail) const {
  const int64_t inner = heads_ * head_width_;
  at::Tensor q = at::linear(x, qkv_.narrow(0, 0, inner));
  if (taps_.defined()) {
    const at::Tensor next = nn::next_tail(q, tail, taps_.size(0));
    q = nn::short_conv(q, taps_.narrow(1, 0, inner).contiguous(), tail, true);
    tail = next;
  } else {
    q = at::silu(q);
  }
  return nn::l2_normalize(q.unflatten(2, at::IntArrayRef({heads_, head_width_}))).transpose(1, 2);
}

at::Tensor MemoryLayer::retrieve(const at::Tensor& queries, const at::Tensor& x, State& readable) {
  return output(memory_->read(queries, readable), x);
}

at::Tensor MemoryLayer::output(const at::Tensor& reads, const at::Tensor& x) const {
  const at::Tensor y = nn::rms_norm(reads.transpose(1, 2), norm_).reshape({x.size(0), x.size(1), heads_ * head_width_});
  return at::linear(y * at::silu(at::linear(x, out_gate_)), out_);
}

at::Tensor MemoryLayer::run(const at::Tensor& x, State& state, ForwardContext* context) {
  const int64_t B = x.size(0), T = x.size(1), H = heads_, D = head_width_;
  at::Tensor qkv = at::linear(x, qkv_);
  if (taps_.defined()) {
    at::Tensor& tail = state.tensor("conv_tail");
    const at::Tensor next = nn::next_tail(qkv, tail, taps_.size(0));
    qkv = nn::short_conv(qkv, taps_, tail, true);
    tail = next;
  } else {
    qkv = at::silu(qkv);
  }
  const at::Tensor heads = qkv.view({B, T, 3 * H, D});
  const at::Tensor qk = nn::l2_normalize(heads.narrow(2, 0, 2 * H)).transpose(1, 2);  // [B,2H,T,D]
  const at::Tensor query = qk.narrow(1, 0, H);
  at::Tensor reads;
  if (options_.off) {
    State initial;
    reads = memory_->read(query, initial);
  } else {
    const Gates g = gates(x, state, context);
    if (context && context->probe) measure(g, *context);
    const at::Tensor value = heads.narrow(2, 2 * H, H).transpose(1, 2);
    reads = memory_->forward({query, qk.narrow(1, H, H), value, g.theta, g.alpha, g.eta, context ? context->mask : at::Tensor(), nullptr}, state.child("memory"));
  }
  return output(reads, x);
}

MemoryLayer::Gates MemoryLayer::gates(const at::Tensor& x, State& state, ForwardContext* context) const {
  const int64_t B = x.size(0), T = x.size(1), H = heads_, G = gate_layers_, C = x.size(2);
  const at::Tensor now = at::linear(x, gate_.narrow(1, 0, C)), shifted = at::linear(x, gate_.narrow(1, C, C));
  at::Tensor& tail = state.tensor("gate_tail");  // [B,1,3HG]
  const at::Tensor first = tail.defined() ? tail : at::zeros({B, 1, now.size(2)}, now.options());
  const at::Tensor logits = (now + at::cat({first, shifted.narrow(1, 0, T - 1)}, 1)) * options_.gate_scale;
  tail = shifted.narrow(1, T - 1, 1).clone();
  auto gate = [&](int64_t which, double bias) {  // [B,T,H,G] → [B,H,T,G]
    return (logits.narrow(2, which * H * G, H * G) + bias).sigmoid().view({B, T, H, G}).transpose(1, 2);
  };
  const at::Tensor write = gate(0, options_.theta_bias);
  if (context && options_.write_penalty > 0 && at::GradMode::is_enabled()) {
    const at::Tensor penalty = write.mean() * options_.write_penalty;
    context->penalty = context->penalty.defined() ? context->penalty + penalty : penalty;
  }
  Gates g;
  g.theta = write * options_.theta_max;
  g.alpha = options_.forgetting ? gate(1, options_.alpha_bias) : at::zeros_like(write);
  g.eta = options_.momentum ? gate(2, options_.eta_bias) : at::zeros_like(write);
  if (options_.momentum && options_.momentum_damping) g.theta = g.theta * (1 - g.eta);
  return g;
}

void MemoryLayer::measure(const Gates& g, ForwardContext& context) const {
  const std::string layer = "layer" + std::to_string(layer_) + "/";
  (*context.probe)[layer + "theta_mean"] = g.theta.mean().item<double>();
  (*context.probe)[layer + "alpha_mean"] = g.alpha.mean().item<double>();
  (*context.probe)[layer + "eta_mean"] = g.eta.mean().item<double>();
}

}  // namespace mneme
