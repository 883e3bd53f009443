#include "nn/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/attention.h"

namespace mneme::nn {
namespace {

// Keys or values one after another; absent ones are skipped.
at::Tensor join(std::vector<at::Tensor> parts) {
  std::erase_if(parts, [](const at::Tensor& part) { return !part.defined() || part.size(2) == 0; });
  return parts.size() == 1 ? parts[0] : at::cat(parts, 2);
}

// Additive mask [T, S]: query t stands at key index t + offset; 0 where it may look, −∞ elsewhere. Prefix columns first.
at::Tensor additive_mask(int64_t queries, int64_t prefix, int64_t keys, int64_t offset, int64_t window, const at::TensorOptions& options) {
  const auto integers = options.dtype(at::kLong);
  const at::Tensor behind = at::arange(queries, integers).unsqueeze(1) + offset - at::arange(keys, integers).unsqueeze(0);
  at::Tensor allowed = behind >= 0;
  if (window > 0) allowed = allowed & (behind < window);
  const at::Tensor mask = at::zeros({queries, keys}, options).masked_fill_(~allowed, -std::numeric_limits<double>::infinity());
  return prefix ? at::constant_pad_nd(mask, {prefix, 0}) : mask;
}

// Which of the past and own keys may be seen, bool [B,S+T]; undefined where all may.
at::Tensor visible_keys(const KeyValue& own, const KeyValue& past) {
  if (!own.visible.defined() && !past.visible.defined()) return {};
  auto of = [&](const KeyValue& kv) {
    return kv.visible.defined() ? kv.visible : at::ones({own.key.size(0), kv.size()}, own.key.options().dtype(at::kBool));
  };
  return past.defined() ? at::cat({of(past), of(own)}, 1) : of(own);
}

// −∞ more for keys [B,1,1,S] that are not visible, except a query's own (key index t + offset) → [B,1,T,S].
at::Tensor hide(const at::Tensor& mask, const at::Tensor& visible, int64_t prefix, int64_t offset) {
  const int64_t queries = mask.size(0), keys = visible.size(1);
  const auto integers = mask.options().dtype(at::kLong);
  const at::Tensor self = at::arange(queries, integers).unsqueeze(1) + offset == at::arange(keys, integers).unsqueeze(0);
  const at::Tensor seen = at::constant_pad_nd(visible.unsqueeze(1) | self, {prefix, 0}, 1);
  return mask.masked_fill(~seen, -std::numeric_limits<double>::infinity()).unsqueeze(1);
}

std::atomic<int> library_full_attention{0};

// Ours where it applies: fp32 on the CPU, no hidden keys.
std::optional<at::Tensor> fused_attention(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix,
                                          int64_t window) {
  if (!kernels::supports_attention(query) || own.visible.defined() || past.visible.defined()) return std::nullopt;
  const kernels::AttentionCall call{query, join({past.key, own.key}), join({past.value, own.value}), prefix.key, prefix.value, window};
  return kernels::attention(call);
}

}  // namespace

LibraryFullAttention::LibraryFullAttention() { ++library_full_attention; }
LibraryFullAttention::~LibraryFullAttention() { --library_full_attention; }

at::Tensor full_attention(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix) {
  if (library_full_attention == 0)
    if (const std::optional<at::Tensor> y = fused_attention(query, own, past, prefix, 0)) return *y;
  if (const at::Tensor visible = visible_keys(own, past); visible.defined()) {
    const at::Tensor causal = additive_mask(query.size(2), prefix.size(), visible.size(1), past.size(), 0, query.options());
    return at::scaled_dot_product_attention(query, join({prefix.key, past.key, own.key}), join({prefix.value, past.value, own.value}),
                                            hide(causal, visible, prefix.size(), past.size()));
  }
  if (past.defined()) return attention_reference(query, own, past, prefix, 0);
  if (!prefix.defined()) return at::scaled_dot_product_attention(query, own.key, own.value, {}, 0.0, true);
  // Dummy queries in front let the causal form see the prefix.
  const at::Tensor padded = at::constant_pad_nd(query, {0, 0, prefix.size(), 0});
  const at::Tensor y = at::scaled_dot_product_attention(padded, join({prefix.key, own.key}), join({prefix.value, own.value}), {}, 0.0, true);
  return y.narrow(2, prefix.size(), query.size(2));
}

at::Tensor window_attention(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix, int64_t window) {
  const int64_t batch = query.size(0), heads = query.size(1), steps = query.size(2), d = query.size(3);
  if (steps <= window && past.size() == 0) return full_attention(query, own, past, prefix);
  if (const std::optional<at::Tensor> y = fused_attention(query, own, past, prefix, window)) return *y;
  const int64_t tile = std::min(steps, std::clamp<int64_t>(window / 2, 32, 64));
  const int64_t tiles = (steps + tile - 1) / tile, padding = tiles * tile - steps;
  const int64_t missing = window - 1 - past.size(), keys = tile + window - 1;
  // Keys from window − 1 before the call to the end of the last tile; [B,H,tiles,keys,D] overlapping.
  auto tiled = [&](const at::Tensor& before, const at::Tensor& mine, const at::Tensor& front) {
    const at::Tensor all = at::constant_pad_nd(join({before, mine}), {0, 0, missing, padding});
    at::Tensor windows = all.unfold(2, keys, tile).transpose(3, 4);
    if (front.defined()) windows = at::cat({front.unsqueeze(2).expand({-1, -1, tiles, -1, -1}), windows}, 3);
    return windows.reshape({batch * heads, tiles, prefix.size() + keys, d});
  };
  const at::Tensor k = tiled(past.key, own.key, prefix.key), v = tiled(past.value, own.value, prefix.value);
  const at::Tensor q = (padding ? at::constant_pad_nd(query, {0, 0, 0, padding}) : query).reshape({batch * heads, tiles, tile, d});
  at::Tensor mask = additive_mask(tile, prefix.size(), keys, window - 1, window, query.options());
  if (const at::Tensor visible = visible_keys(own, past); visible.defined()) {
    const at::Tensor seen = at::constant_pad_nd(visible, {missing, padding}).unfold(1, keys, tile).reshape({batch * tiles, keys});
    mask = hide(mask, seen, prefix.size(), window - 1).view({batch, 1, tiles, tile, -1});
    mask = mask.expand({-1, heads, -1, -1, -1}).reshape({batch * heads, tiles, tile, prefix.size() + keys});
  } else if (missing > 0) {  // the start of the sequence: nothing before it
    mask = mask.expand({tiles, -1, -1}).clone();
    for (int64_t i = 0; i < tiles && i * tile < missing; ++i)
      mask[i].narrow(1, prefix.size(), std::min(keys, missing - i * tile)).fill_(-std::numeric_limits<double>::infinity());
    mask = mask.unsqueeze(0);
  }
  const at::Tensor y = at::scaled_dot_product_attention(q, k, v, mask).reshape({batch, heads, tiles * tile, d});
  return padding ? y.narrow(2, 0, steps) : y;
}

at::Tensor attention_reference(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix, int64_t window) {
  const at::Tensor k = join({prefix.key, past.key, own.key}), v = join({prefix.value, past.value, own.value});
  at::Tensor mask = additive_mask(query.size(2), prefix.size(), past.size() + own.size(), past.size(), window, query.options());
  if (const at::Tensor visible = visible_keys(own, past); visible.defined()) mask = hide(mask, visible, prefix.size(), past.size());
  const at::Tensor scores = at::matmul(query, k.transpose(2, 3)) * (1 / std::sqrt(double(query.size(3)))) + mask;
  return at::matmul(at::softmax(scores, -1), v);
}

}  // namespace mneme::nn
