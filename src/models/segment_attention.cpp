#include "models/segment_attention.h"

#include <ATen/ATen.h>

#include <limits>

namespace mneme {
namespace {

// Additive [1 or B,1,n,P + S c]: query i stands at token S − n + i; c keys a token; visible bool [B,S].
at::Tensor segment_mask(int64_t queries, int64_t tokens, int64_t each, int64_t prefix, const at::Tensor& visible,
                        const at::TensorOptions& options) {
  const auto integers = options.dtype(at::kLong);
  const at::Tensor behind = at::arange(queries, integers).unsqueeze(1) + (tokens - queries) - at::arange(tokens, integers);
  at::Tensor seen = (behind >= 0).unsqueeze(0);
  if (visible.defined()) seen = seen & (visible.unsqueeze(1) | (behind == 0));
  seen = at::constant_pad_nd(seen.repeat_interleave(each, 2), {prefix, 0}, 1).unsqueeze(1);
  return at::zeros(seen.sizes(), options).masked_fill_(~seen, -std::numeric_limits<double>::infinity());
}

at::Tensor attend(const at::Tensor& query, const nn::KeyValue& prefix, const nn::KeyValue& kv, int64_t tokens, int64_t each) {
  const at::Tensor mask = segment_mask(query.size(2), tokens, each, prefix.size(), kv.visible, query.options());
  const at::Tensor k = prefix.defined() ? at::cat({prefix.key, kv.key}, 2) : kv.key;
  const at::Tensor v = prefix.defined() ? at::cat({prefix.value, kv.value}, 2) : kv.value;
  return at::scaled_dot_product_attention(query, k, v, mask);
}

}  // namespace

SegmentAttention::SegmentAttention(const BlockContext& context, int64_t segment) : AttentionProjection(context), segment_(segment) {}

at::Tensor SegmentAttention::rotary(int64_t phase, int64_t steps, const at::TensorOptions& options) {
  if (options_.positions != "rope") return {};
  return rotary_.rows(0, segment_, options).index_select(0, (at::arange(steps) + phase).remainder(segment_).to(options.device()));
}

AttentionProjection::Projected SegmentAttention::project(const at::Tensor& x, int64_t phase, State& state, const ForwardContext& context) {
  Projected tokens = AttentionProjection::project(x, rotary(phase, x.size(1), x.options()), state);
  tokens.own.visible = context.mask;
  measure(context);
  return tokens;
}

at::Tensor SegmentAttention::forward(const Projected& tokens, const at::Tensor& retrieved, int64_t phase, State& state) {
  const int64_t n = tokens.query.size(2), B = tokens.query.size(0), each = retrieved.defined() ? 2 : 1;
  nn::KeyValue seen = tokens.own;
  if (retrieved.defined()) seen = paired(seen, keys_of(retrieved, rotary(phase, n, retrieved.options())));
  if (phase == 0 && n % segment_ == 0) {
    remember(seen, n, each, state);
    return whole_segments(tokens, seen, each);
  }
  if (phase > 0) {
    auto before = [&](const char* name) { return state.tensor(name).narrow(2, 0, phase * each); };
    seen.key = at::cat({before("keys"), seen.key}, 2);
    seen.value = at::cat({before("values"), seen.value}, 2);
    if (seen.visible.defined() || state.has("hidden")) {
      auto all = [&](int64_t size) { return at::ones({B, size}, seen.key.options().dtype(at::kBool)); };
      seen.visible = at::cat({state.has("hidden") ? ~state.tensor("hidden").narrow(1, 0, phase) : all(phase),
                              seen.visible.defined() ? seen.visible : all(n)}, 1);
    }
  }
  remember(seen, phase + n, each, state);
  return output(attend(tokens.query, grouped(persistent(B)), grouped(seen), phase + n, each));
}

nn::KeyValue SegmentAttention::paired(const nn::KeyValue& own, const nn::KeyValue& retrieved) const {
  auto pair = [](const at::Tensor& h, const at::Tensor& x) { return at::stack({h, x}, 3).flatten(2, 3); };
  return {pair(retrieved.key, own.key), pair(retrieved.value, own.value), own.visible};
}

at::Tensor SegmentAttention::whole_segments(const Projected& tokens, const nn::KeyValue& pairs, int64_t each) {
  const int64_t B = tokens.query.size(0), count = tokens.query.size(2) / segment_;
  auto folded = [&](const at::Tensor& x) {  // [B,H,count·S,D] → [B·count,H,S,D]
    return x.unflatten(2, at::IntArrayRef({count, x.size(2) / count})).transpose(1, 2).flatten(0, 1);
  };
  nn::KeyValue kv{folded(pairs.key), folded(pairs.value), {}};
  if (pairs.visible.defined()) kv.visible = pairs.visible.reshape({B * count, segment_});
  const at::Tensor y = attend(folded(tokens.query), grouped(persistent(B * count)), grouped(kv), segment_, each);
  return output(y.unflatten(0, at::IntArrayRef({B, count})).transpose(1, 2).flatten(2, 3));
}

void SegmentAttention::remember(const nn::KeyValue& seen, int64_t tokens, int64_t each, State& state) const {
  const int64_t held = tokens % segment_, behind = segment_ - held;  // nothing of a complete segment is needed again
  auto buffer = [&](const at::Tensor& x) { return at::constant_pad_nd(x.narrow(2, 0, held * each), {0, 0, 0, behind * each}); };
  state.tensor("keys") = buffer(seen.key);
  state.tensor("values") = buffer(seen.value);
  at::Tensor& hidden = state.tensor("hidden");
  hidden = held && seen.visible.defined() ? at::constant_pad_nd(~seen.visible, {0, behind}) : at::Tensor();
}

}  // namespace mneme
