// Softmax attention, causal, scaled by 1/√D. Shapes: B rows, H heads, T queries, S keys, D head width.
//
// `prefix` keys and values (persistent tokens) are seen by every query; a window never drops them.
// `past` keys and values are those of the tokens right before this call's, oldest first.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::nn {

struct KeyValue {
  at::Tensor key, value;  ///< [B,H,S,D] each; undefined = none
  at::Tensor visible = {};     ///< bool [B,S]: keys that queries may see, a token itself always may; undefined = all
  bool defined() const { return key.defined(); }
  int64_t size() const { return key.defined() ? key.size(2) : 0; }
};

/// Query t sees the prefix, all of the past and keys 0…t of `own`. Memory O(T) where no key is hidden, in fp32 on the CPU, where the
/// fused kernel computes it (kernels/attention.h), and elsewhere without a past; else O(T·S). → [B,H,T,D]
at::Tensor full_attention(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix);

/// Query t sees the prefix and the `window` latest keys, its own included. `past` holds up to window − 1 keys.
/// Cost O(T·window). → [B,H,T,D]
at::Tensor window_attention(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix, int64_t window);

/// While one lives, full attention is computed by LibTorch's kernel, not ours: for `mneme bench model`.
struct LibraryFullAttention {
  LibraryFullAttention();
  ~LibraryFullAttention();
  LibraryFullAttention(const LibraryFullAttention&) = delete;
};

/// The same by an explicit T×S mask: oracle of both (window 0 = full).
at::Tensor attention_reference(const at::Tensor& query, const KeyValue& own, const KeyValue& past, const KeyValue& prefix, int64_t window);

}  // namespace mneme::nn
