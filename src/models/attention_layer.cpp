#include "models/attention_layer.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace mneme {

AttentionLayer::AttentionLayer(const BlockContext& context)
    : AttentionProjection(context), window_(options_.attention == "window" ? options_.window : 0) {}

at::Tensor AttentionLayer::forward(const at::Tensor& x, State& state, const ForwardContext& context) {
  Projected tokens = project(x, rotary(x, state), state);
  tokens.own.visible = context.mask;
  nn::KeyValue past;
  if (state.has("keys")) past = {state.tensor("keys"), state.tensor("values"), state.tensor("visible")};
  const nn::KeyValue own = grouped(tokens.own), before = grouped(past), prefix = grouped(persistent(x.size(0)));
  const at::Tensor y = window_ ? nn::window_attention(tokens.query, own, before, prefix, window_)
                               : nn::full_attention(tokens.query, own, before, prefix);
  remember(tokens.own, past, state);
  measure(context);
  state.advance(x.size(1));
  return output(y);
}

at::Tensor AttentionLayer::rotary(const at::Tensor& x, const State& state) {
  if (options_.positions != "rope") return {};
  const int64_t T = x.size(1);
  if (!state.differing_clocks().defined()) return rotary_.rows(state.position, T, x.options());
  return rotary_.rows(state.clock(x.size(0)).unsqueeze(1) + at::arange(T), x.options());
}

void AttentionLayer::remember(const nn::KeyValue& own, const nn::KeyValue& past, State& state) const {
  const int64_t T = own.size(), S = past.size(), keep = window_ ? std::min(window_ - 1, S + T) : S + T;
  auto newest = [&](const at::Tensor& before, const at::Tensor& mine, int64_t dimension) {
    if (keep <= T) return mine.narrow(dimension, T - keep, keep).clone(at::MemoryFormat::Contiguous);  // a view would keep the call alive
    return at::cat({before.narrow(dimension, S - (keep - T), keep - T), mine}, dimension);
  };
  state.tensor("keys") = newest(past.key, own.key, 2);
  state.tensor("values") = newest(past.value, own.value, 2);
  at::Tensor& visible = state.tensor("visible");
  if (!own.visible.defined() && !past.visible.defined()) return;
  auto of = [&](const nn::KeyValue& kv) {
    return kv.visible.defined() ? kv.visible : at::ones({own.key.size(0), kv.size()}, own.key.options().dtype(at::kBool));
  };
  visible = newest(of(past), of(own), 1);
  if (visible.all().item<bool>()) visible = at::Tensor();
}

void AttentionLayer::reset(State& state, const at::Tensor& rows) const {
  if (!state.has("keys")) return;  // nothing read yet: only a memory was loaded
  clear(state, rows);
  const int64_t B = rows.size(0);
  at::Tensor& visible = state.tensor("visible");
  if (!visible.defined()) visible = at::ones({B, state.tensor("keys").size(2)}, rows.options());
  visible = visible & ~rows.unsqueeze(1);
  state.set_clock(state.clock(B).masked_fill(rows.cpu(), 0));
}

}  // namespace mneme
