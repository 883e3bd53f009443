#include "models/attention_projection.h"

#include <ATen/ATen.h>

#include "memory/projections.h"
#include "nn/init.h"
#include "nn/short_conv.h"

namespace mneme {

AttentionProjection::AttentionProjection(const BlockContext& context)
    : options_(context.model),
      layer_(context.layer),
      heads_(options_.heads),
      kv_heads_(options_.kv_heads ? options_.kv_heads : options_.heads),
      head_width_(options_.width / options_.heads),
      rotary_(head_width_, options_.rope_base) {
  const int64_t C = options_.width, q = heads_ * head_width_, kv = kv_heads_ * head_width_;
  qkv_ = register_parameter("qkv", qkv_weight(C, q, kv, kv, options_.conv_width > 0 && options_.conv_init == "shift", context.generator));
  if (options_.conv_width > 0) taps_ = parameter("conv", qkv_taps(options_, q, kv, kv, context.generator), Role::convolution);
  if (options_.persistent_tokens > 0)
    persistent_ = parameter("persistent", at::empty({options_.persistent_tokens, C}, at::kFloat).normal_(0, 1, context.generator), Role::embedding);
  out_ = register_parameter("out", nn::linear_weight(C, q, context.generator));
}

void AttentionProjection::measure(const ForwardContext& context) const {
  if (!context.probe) return;
  Probe measured;
  measure_maps(qkv_, {heads_ * head_width_, kv_heads_ * head_width_, kv_heads_ * head_width_}, measured);
  context.probe->add("layer" + std::to_string(layer_) + "/attention/", measured);
}

AttentionProjection::Projected AttentionProjection::project(const at::Tensor& x, const at::Tensor& rotary, State& state) const {
  const int64_t B = x.size(0), T = x.size(1);
  at::Tensor qkv = at::linear(x, qkv_);
  if (taps_.defined()) {
    at::Tensor& tail = state.tensor("conv_tail");
    const at::Tensor next = nn::next_tail(qkv, tail, taps_.size(0));
    qkv = nn::short_conv(qkv, taps_, tail, false);
    tail = next;
  }
  const at::Tensor heads = qkv.view({B, T, heads_ + 2 * kv_heads_, head_width_});
  // Split, not narrowed: the backward pass then writes each gradient once, into its place.
  const std::vector<at::Tensor> qk_v = heads.split_with_sizes({heads_ + kv_heads_, kv_heads_}, 2);
  const at::Tensor qk = rotary.defined() ? nn::rope(qk_v[0], rotary) : qk_v[0];
  const std::vector<at::Tensor> q_k = qk.split_with_sizes({heads_, kv_heads_}, 2);
  return {q_k[0].transpose(1, 2), {q_k[1].transpose(1, 2), qk_v[1].transpose(1, 2), {}}};
}

nn::KeyValue AttentionProjection::keys_of(const at::Tensor& inputs, const at::Tensor& rotary) const {
  const int64_t q = heads_ * head_width_, kv = kv_heads_ * head_width_;
  const at::Tensor projected = at::linear(inputs, qkv_.narrow(0, q, 2 * kv)).unflatten(2, at::IntArrayRef({2 * kv_heads_, head_width_}));
  at::Tensor keys = projected.narrow(2, 0, kv_heads_);
  if (rotary.defined()) keys = nn::rope(keys, rotary);
  return {keys.transpose(1, 2), projected.narrow(2, kv_heads_, kv_heads_).transpose(1, 2), {}};
}

nn::KeyValue AttentionProjection::persistent(int64_t rows) const {
  if (!persistent_.defined()) return {};
  const nn::KeyValue one = keys_of(persistent_.unsqueeze(0), {});
  return {one.key.expand({rows, -1, -1, -1}), one.value.expand({rows, -1, -1, -1}), {}};
}

nn::KeyValue AttentionProjection::grouped(const nn::KeyValue& kv) const {
  if (kv_heads_ == heads_ || !kv.defined()) return kv;
  auto repeated = [&](const at::Tensor& x) {
    return x.unsqueeze(2).expand({-1, -1, heads_ / kv_heads_, -1, -1}).reshape({x.size(0), heads_, x.size(2), x.size(3)});
  };
  return {repeated(kv.key), repeated(kv.value), kv.visible};
}

at::Tensor AttentionProjection::output(const at::Tensor& y) const { return at::linear(y.transpose(1, 2).flatten(2), out_); }

void AttentionProjection::clear(State& state, const at::Tensor& rows) {
  auto zeroed = [&](const char* name, at::IntArrayRef flags) {
    if (state.has(name)) state.tensor(name) = state.tensor(name).masked_fill(rows.view(flags), 0);
  };
  zeroed("conv_tail", {-1, 1, 1});
  zeroed("keys", {-1, 1, 1, 1});
  zeroed("values", {-1, 1, 1, 1});
}

void check_rotary_heads(const ModelOptions& model, const MemoryOptions&, Problems& problems) {
  const int64_t head_width = model.width / model.heads;
  if (model.positions == "rope" && model.width % model.heads == 0 && head_width % 2 != 0)
    problems.add("model.heads", "makes heads of width " + std::to_string(head_width) +
                                    " (model.width / model.heads); model.positions = rope needs an even one");
}

}  // namespace mneme
