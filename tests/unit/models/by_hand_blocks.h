// The blocks of docs/maths.md for one row, token by token: attention over a window with persistent tokens, LMM, MAG, MAL, MAC.
#pragma once

#include <algorithm>

#include "config/fields.h"
#include "tests/unit/models/by_hand_memory_layer.h"
#include "tests/support/memory_options.h"

namespace mneme::test::by_hand {

/// Pairs (2i, 2i+1) turn by position · base^(−2i/D).
inline at::Tensor rotated(const at::Tensor& x, int64_t position, double base) {
  std::vector<at::Tensor> y;
  for (int64_t i = 0; i < x.size(0); i += 2) {
    const double angle = double(position) * std::pow(base, -double(i) / double(x.size(0)));
    y.push_back(x[i] * std::cos(angle) - x[i + 1] * std::sin(angle));
    y.push_back(x[i] * std::sin(angle) + x[i + 1] * std::cos(angle));
  }
  return at::stack(y);
}

/// What the attention layers share: a token's heads, and softmax over lists of keys and values.
class Attention {
 public:
  struct KeyValue {
    at::Tensor key, value;  // [H_kv D]
  };

  Attention(const ModelOptions& model, const Parameters& p) : model_(model), p_(p), conv_(of(p, "conv")) {
    H_ = model.heads, kv_ = model.kv_heads ? model.kv_heads : H_, D_ = model.width / H_;
    if (model.persistent_tokens > 0)
      for (const at::Tensor& token : p.at("persistent").unbind()) persistent_.push_back(seen_as(token, -1));
  }

  /// Query, key and value of the next token.
  std::pair<at::Tensor, KeyValue> next(const at::Tensor& x, int64_t position) {
    const at::Tensor qkv = conv_(applied(p_.at("qkv"), x));
    return {phased(qkv.narrow(0, 0, H_ * D_), position), split(qkv.narrow(0, H_ * D_, 2 * kv_ * D_), position)};
  }
  /// Key and value of an input that is no token: no convolution; position −1: no phase.
  KeyValue seen_as(const at::Tensor& x, int64_t position) const {
    return split(applied(p_.at("qkv").narrow(0, H_ * D_, 2 * kv_ * D_), x), position);
  }
  const std::vector<KeyValue>& persistent() const { return persistent_; }

  at::Tensor attend(const at::Tensor& query, const std::vector<KeyValue>& context) const {
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < H_; ++h) {
      const int64_t shared = h / (H_ / kv_);
      std::vector<at::Tensor> scores;
      for (const KeyValue& c : context) scores.push_back((part(query, h, D_) * part(c.key, shared, D_)).sum() / std::sqrt(double(D_)));
      const at::Tensor e = (at::stack(scores) - at::stack(scores).max().detach()).exp(), weights = e / e.sum();
      at::Tensor y = at::zeros({D_}, query.options());
      for (size_t i = 0; i < context.size(); ++i) y = y + weights[int64_t(i)] * part(context[i].value, shared, D_);
      heads.push_back(y);
    }
    return applied(p_.at("out"), at::cat(heads));
  }

 private:
  at::Tensor phased(const at::Tensor& x, int64_t position) const {
    if (model_.positions != "rope" || position < 0) return x;
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < x.size(0) / D_; ++h) heads.push_back(rotated(part(x, h, D_), position, model_.rope_base));
    return at::cat(heads);
  }
  KeyValue split(const at::Tensor& kv, int64_t position) const {
    return {phased(kv.narrow(0, 0, kv_ * D_), position), kv.narrow(0, kv_ * D_, kv_ * D_)};
  }

  const ModelOptions model_;
  const Parameters p_;
  int64_t H_, kv_, D_;
  Convolution conv_;
  std::vector<KeyValue> persistent_;
};

/// x [T,C] → [T,C]: every token sees the persistent tokens and itself with those before it: all, the window's, or its segment's.
inline at::Tensor attention(const ModelOptions& model, const Parameters& p, const at::Tensor& x) {
  Attention layer(model, p);
  std::vector<Attention::KeyValue> tokens;
  std::vector<at::Tensor> y;
  const bool segments = model.kind == "mac";
  for (int64_t t = 0; t < x.size(0); ++t) {
    const auto [query, own] = layer.next(x[t], segments ? t % segment_of(model) : t);
    tokens.push_back(own);
    std::vector<Attention::KeyValue> context = layer.persistent();
    const int64_t of_window = model.attention == "window" ? std::max<int64_t>(0, t + 1 - model.window) : 0;
    const int64_t first = segments ? t / segment_of(model) * segment_of(model) : of_window;
    context.insert(context.end(), tokens.begin() + first, tokens.end());
    y.push_back(layer.attend(query, context));
  }
  return at::stack(y);
}

/// Rows of [T,C] normalised.
inline at::Tensor normed(const at::Tensor& x, const at::Tensor& gain) {
  std::vector<at::Tensor> y;
  for (const at::Tensor& row : x.unbind()) y.push_back(rms_normed(row, gain));
  return at::stack(y);
}

inline at::Tensor combined(const ModelOptions& model, const Parameters& p, const at::Tensor& x, const at::Tensor& near, const at::Tensor& far) {
  if (model.combine == "product") return near * far;
  if (model.combine == "product+sum") return near * far + near + far;
  const at::Tensor g = logistic(at::matmul(x, p.at("mix").t()));
  return g * near + (1 - g) * far;
}

struct BlockRow {
  at::Tensor y;                      // [T,C]
  std::vector<at::Tensor> written;   // σ(s) by token
};

/// The memory over a row, persistent tokens first.
inline BlockRow memory_row(const ModelOptions& model, const AnyMemory& o, const Parameters& p, const at::Tensor& x, bool writes) {
  MemoryLayer layer(model, o, p, writes);
  BlockRow row;
  std::vector<at::Tensor> y;
  for (const at::Tensor& token : x.unbind()) y.push_back(layer.token(token, true));
  return {at::stack(y), layer.written()};
}

/// model.<kind>.residual of mac and mal.
inline bool residual(const ModelOptions& model) {
  for (const Field& field : fields_of(*model.own, ""))
    if (field.key == "residual") return field.text() == "true";
  return false;
}

/// h_i = M*(q_i), M* what earlier segments left; y_i = norm(attention(q_i; [persistent ‖ h_j ‖ x_j], j ≤ i)); M_i written with x_i + y_i, or y_i.
inline BlockRow mac_row(const ModelOptions& model, const AnyMemory& o, const Parameters& p, const at::Tensor& x, bool writes) {
  ModelOptions bare = model;
  bare.persistent_tokens = 0;
  MemoryLayer memory(bare, o, under(p, "memory"), writes);
  Attention layer(model, under(p, "attention"));
  Convolution of_queries = memory.query_convolution();
  std::vector<std::vector<at::Tensor>> frozen;
  std::vector<Attention::KeyValue> context;
  std::vector<at::Tensor> near, far;
  for (int64_t t = 0; t < x.size(0); ++t) {
    const int64_t i = t % segment_of(model);
    if (i == 0) frozen = memory.weights(), context = layer.persistent();
    const auto [query, own] = layer.next(x[t], i);
    context.push_back(layer.seen_as(memory.retrieve(x[t], of_queries, frozen), i));
    context.push_back(own);
    near.push_back(rms_normed(layer.attend(query, context), p.at("attention_norm")));
    far.push_back(rms_normed(memory.token(residual(model) ? x[t] + near.back() : near.back(), true), p.at("memory_norm")));
  }
  return {combined(model, p, x, at::stack(near), at::stack(far)), memory.written()};
}

inline BlockRow block_row(const ModelOptions& model, const AnyMemory& o, const Parameters& p, const at::Tensor& x, bool writes = true,
                          bool has_memory = true) {
  if (!has_memory || model.kind == "transformer") return {attention(model, under(p, "attention"), x), {}};
  if (model.kind == "mac") return mac_row(model, o, p, x, writes);
  if (model.kind == "mal") {
    BlockRow row = memory_row(model, o, under(p, "memory"), x, writes);
    const at::Tensor m = normed(row.y, p.at("memory_norm"));
    row.y = residual(model) ? m + attention(model, under(p, "attention"), x + m) : attention(model, under(p, "attention"), m);
    return row;
  }
  BlockRow row = memory_row(model, o, under(p, "memory"), x, writes);
  if (model.kind == "mag") {
    const at::Tensor near = normed(attention(model, under(p, "attention"), x), p.at("attention_norm"));
    row.y = combined(model, p, x, near, normed(row.y, p.at("memory_norm")));
  }
  return row;
}

/// Tokens → logits [T,V]: x ← x + block(norm(x)), x ← x + ((SiLU(x W_g) ⊙ x W_u) W_d)(norm(x)); the head is the embedding.
inline BlockRow model_row(const ModelOptions& model, const AnyMemory& o, const Parameters& p, const std::vector<int64_t>& tokens) {
  std::vector<at::Tensor> embedded;
  for (size_t t = 0; t < tokens.size(); ++t) {
    embedded.push_back(p.at("embedding")[tokens[t]]);
    if (model.positions == "learned") embedded[t] = embedded[t] + p.at("positions")[int64_t(t)];
  }
  at::Tensor x = at::stack(embedded);
  std::vector<at::Tensor> written;
  for (int64_t i = 0; i < model.layers; ++i) {
    const Parameters layer = under(p, "layers_" + std::to_string(i));
    const auto& with = model.memory_layers;
    const bool has_memory = with.empty() || std::find(with.begin(), with.end(), i) != with.end();
    const BlockRow row = block_row(model, o, under(layer, "block"), normed(x, layer.at("block_norm")), true, has_memory);
    written.insert(written.end(), row.written.begin(), row.written.end());
    x = x + row.y;
    if (model.ffn == "none") continue;
    const at::Tensor both = at::matmul(normed(x, layer.at("feed_forward_norm")), layer.at("feed_forward.up").t());
    const int64_t h = both.size(1) / 2;
    x = x + at::matmul(swish(both.narrow(1, 0, h)) * both.narrow(1, h, h), layer.at("feed_forward.down").t());
  }
  return {at::matmul(normed(x, p.at("norm")), (p.count("head") ? p.at("head") : p.at("embedding")).t()), written};
}

}  // namespace mneme::test::by_hand
