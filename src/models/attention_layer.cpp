#include "models/attention_layer.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "models/projections.h"
#include "nn/init.h"
#include "nn/short_conv.h"

namespace mneme {

AttentionLayer::AttentionLayer(const BlockContext& context)
    : options_(context.model),
      heads_(options_.heads),
      kv_heads_(options_.kv_heads ? options_.kv_heads : options_.heads),
      head_width_(options_.width / options_.heads),
      window_(options_.attention == "window" ? options_.window : 0),
      rotary_(head_width_, options_.rope_base) {
  const int64_t C = options_.width, q = heads_ * head_width_, kv = kv_heads_ * head_width_;
  qkv_ = register_parameter("qkv", qkv_weight(C, q, kv, options_.conv_width > 0 && options_.conv_init == "shift", context.generator));
  if (options_.conv_width > 0) taps_ = register_parameter("conv", qkv_taps(options_, q, kv, context.generator));
  if (options_.persistent_tokens > 0)
    persistent_ = register_parameter("persistent", at::empty({options_.persistent_tokens, C}, at::kFloat).normal_(0, 1, context.generator));
  out_ = register_parameter("out", nn::linear_weight(C, q, context.generator));
}

at::Tensor AttentionLayer::forward(const at::Tensor& x, State& state) {
  const int64_t B = x.size(0), T = x.size(1), D = head_width_;
  at::Tensor qkv = at::linear(x, qkv_);
  if (taps_.defined()) {
    at::Tensor& tail = state.tensor("conv_tail");
    const at::Tensor next = nn::next_tail(qkv, tail, taps_.size(0));
    qkv = nn::short_conv(qkv, taps_, tail, false);
    tail = next;
  }
  const at::Tensor heads = qkv.view({B, T, heads_ + 2 * kv_heads_, D});
  at::Tensor qk = heads.narrow(2, 0, heads_ + kv_heads_);
  if (options_.positions == "rope") qk = nn::rope(qk, rotary_.rows(state.position, T, x.options()));
  const at::Tensor q = qk.narrow(2, 0, heads_).transpose(1, 2);
  const nn::KeyValue own{qk.narrow(2, heads_, kv_heads_).transpose(1, 2), heads.narrow(2, heads_ + kv_heads_, kv_heads_).transpose(1, 2)};
  nn::KeyValue past;
  if (state.has("keys")) past = {state.tensor("keys"), state.tensor("values")};
  const nn::KeyValue prefix = persistent(B);

  auto expand = [&](const nn::KeyValue& kv) { return kv.defined() ? nn::KeyValue{grouped(kv.key), grouped(kv.value)} : kv; };
  const at::Tensor y = window_ ? nn::window_attention(q, expand(own), expand(past), expand(prefix), window_)
                               : nn::full_attention(q, expand(own), expand(past), expand(prefix));
  remember(own, past, state);
  state.position += T;
  return at::linear(y.transpose(1, 2).reshape({B, T, heads_ * D}), out_);
}

nn::KeyValue AttentionLayer::persistent(int64_t batch) const {
  if (!persistent_.defined()) return {};
  const int64_t P = persistent_.size(0), q = heads_ * head_width_, kv = kv_heads_ * head_width_;
  const at::Tensor projected = at::linear(persistent_, qkv_.narrow(0, q, 2 * kv)).view({1, P, 2 * kv_heads_, head_width_}).transpose(1, 2);
  auto part = [&](int64_t first) { return projected.narrow(1, first, kv_heads_).expand({batch, -1, -1, -1}); };
  return {part(0), part(kv_heads_)};
}

at::Tensor AttentionLayer::grouped(const at::Tensor& x) const {
  if (kv_heads_ == heads_) return x;
  return x.unsqueeze(2).expand({-1, -1, heads_ / kv_heads_, -1, -1}).reshape({x.size(0), heads_, x.size(2), x.size(3)});
}

void AttentionLayer::remember(const nn::KeyValue& own, const nn::KeyValue& past, State& state) const {
  const int64_t T = own.size(), S = past.size(), keep = window_ ? std::min(window_ - 1, S + T) : S + T;
  auto newest = [&](const at::Tensor& before, const at::Tensor& mine) {
    if (keep <= T) return mine.narrow(2, T - keep, keep).clone(at::MemoryFormat::Contiguous);  // a copy: a view would keep the call alive
    return at::cat({before.narrow(2, S - (keep - T), keep - T), mine}, 2);
  };
  state.tensor("keys") = newest(past.key, own.key);
  state.tensor("values") = newest(past.value, own.value);
}

}  // namespace mneme
