#include "memory/surprise_cache.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace mneme {
namespace {

constexpr int64_t kCacheBlock = 64;  // tokens at once
constexpr double kUnseen = -1e30;    // logit of a pair that is not there

at::Tensor unit_mean_square(const at::Tensor& x) { return x * (x.square().mean(-1, true) + 1e-6).rsqrt(); }

// Of w held pairs and n tokens after them, the candidates c in order of age: which ones are among the w of largest priority once token
// t is there, bool [N,w+n,n]. Candidates of priority −1 never are.
at::Tensor kept_after(const at::Tensor& priority, int64_t w) {
  const int64_t M = priority.size(1), n = M - w;
  const at::Tensor order = at::arange(M, priority.options().dtype(at::kLong));
  const at::Tensor own = priority.unsqueeze(2), other = priority.unsqueeze(1), older = order.unsqueeze(0) < order.unsqueeze(1);
  const at::Tensor beaten = (other > own).logical_or_((other == own).logical_and_(older));  // [N,c,other]
  const at::Tensor rank = beaten.narrow(2, 0, w).sum(2, true) + beaten.narrow(2, w, n).cumsum(2);
  const at::Tensor there = order.unsqueeze(1) <= order.narrow(0, w, n).unsqueeze(0);
  return (rank < w).logical_and_(there).logical_and_(own >= 0);
}

}  // namespace

SurpriseCache::SurpriseCache(int64_t pairs, bool read_before, int64_t heads, int64_t key_width, int64_t value_width)
    : pairs_(pairs), heads_(heads), key_width_(key_width), value_width_(value_width), read_before_(read_before) {
  scale_ = parameter("scale", at::ones({heads, key_width}, at::kFloat), Role::norm);
  gate_ = parameter("gate", at::full({heads}, -4., at::kFloat), Role::gate);
}

at::Tensor SurpriseCache::share() const { return gate_.sigmoid(); }

at::Tensor SurpriseCache::priority_of(const std::vector<Gate>& gates, const MemoryInput& input, const at::Tensor& losses) {
  std::vector<at::Tensor> written;
  for (const Gate& gate : gates)
    if (gate.writes) written.push_back(input.gate(gate.name).detach().abs());
  const at::Tensor error = losses.detach().clamp_min(0).sqrt();
  return written.empty() ? error : error * at::cat(written, 3).mean(3);
}

void SurpriseCache::start(State& state, int64_t rows) const {
  state.tensor("keys") = at::zeros({rows, heads_, pairs_, key_width_}, gate_.options());
  state.tensor("values") = at::zeros({rows, heads_, pairs_, value_width_}, gate_.options());
  state.tensor("priority") = at::full({rows, heads_, pairs_}, -1., gate_.options());
}

// [B,H,T,K] → [N,T,K]
at::Tensor SurpriseCache::scaled(const at::Tensor& query) const {
  return (unit_mean_square(query) * scale_.unsqueeze(1)).reshape({-1, query.size(2), key_width_});
}

// query [N,T,K], key [N,M,K], value [N,M,V], visible bool [N,T or 1,M] → [N,T,V], 0 where nothing is visible
at::Tensor SurpriseCache::attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& visible) const {
  const at::Tensor logits = at::bmm(query, key.transpose(1, 2)) / std::sqrt(double(key_width_));
  return at::bmm(logits.masked_fill(~visible, kUnseen).softmax(2).masked_fill(~visible, 0), value);
}

at::Tensor SurpriseCache::forward(const MemoryInput& input, const at::Tensor& priority, State& state) const {
  const int64_t B = input.key.size(0), T = input.key.size(2), N = B * heads_, w = pairs_;
  if (T == 0) return at::empty_like(input.value);
  if (!state.has("keys")) start(state, B);
  auto flat = [&](const at::Tensor& x) { return x.reshape({N, x.size(2), x.size(3)}); };
  const at::Tensor admitted = input.step.defined() ? priority.masked_fill(~input.step.unsqueeze(1), -1) : priority;
  // Split, not narrowed block by block: the backward pass then writes each gradient once.
  auto blocks = [&](const at::Tensor& x) { return x.split(kCacheBlock, 1); };
  const std::vector<at::Tensor> queries = blocks(scaled(input.query)), keys = blocks(flat(unit_mean_square(input.key))),
                                values = blocks(flat(input.value)), priorities = blocks(admitted.reshape({N, T}));
  at::Tensor key = flat(state.tensor("keys")), value = flat(state.tensor("values")), held = state.tensor("priority").reshape({N, w});
  std::vector<at::Tensor> reads;
  for (size_t i = 0; i < queries.size(); ++i) {
    const int64_t n = queries[i].size(1), M = w + n;
    const at::Tensor all_keys = at::cat({key, keys[i]}, 1), all_values = at::cat({value, values[i]}, 1);
    const at::Tensor all = at::cat({held, priorities[i]}, 1), after = kept_after(all, w);
    at::Tensor visible = after;
    if (read_before_) {
      const at::Tensor first = at::constant_pad_nd(held >= 0, {0, n}, 0).unsqueeze(2);
      visible = at::cat({first, after.narrow(2, 0, n - 1)}, 2);
    }
    reads.push_back(attend(queries[i], all_keys, all_values, visible.transpose(1, 2)));
    // Those kept at the block's end, oldest first, then the empty places.
    const at::Tensor kept = after.select(2, n - 1), order = at::arange(M, kept.options().dtype(at::kLong));
    const at::Tensor chosen = std::get<0>(at::where(kept, order, order + M).sort(1)).narrow(1, 0, w).remainder(M);
    const at::Tensor there = kept.gather(1, chosen);
    auto taken = [&](const at::Tensor& x) {
      return x.gather(1, chosen.unsqueeze(2).expand({N, w, x.size(2)})).masked_fill(~there.unsqueeze(2), 0);
    };
    key = taken(all_keys), value = taken(all_values), held = all.gather(1, chosen).masked_fill(~there, -1);
  }
  state.tensor("keys") = key.view({B, heads_, w, key_width_});
  state.tensor("values") = value.view({B, heads_, w, value_width_});
  state.tensor("priority") = held.view({B, heads_, w});
  return at::cat(reads, 1).view({B, heads_, T, value_width_}) * share().view({1, heads_, 1, 1});
}

at::Tensor SurpriseCache::read(const at::Tensor& query, const State& state) const {
  const int64_t B = query.size(0), T = query.size(2), N = B * heads_;
  if (!state.has("keys")) return at::zeros({B, heads_, T, value_width_}, query.options());
  State held = state;
  auto flat = [&](const char* name) { return held.tensor(name).reshape({N, pairs_, -1}); };
  const at::Tensor reads = attend(scaled(query), flat("keys"), flat("values"), flat("priority").transpose(1, 2) >= 0);
  return reads.view({B, heads_, T, value_width_}) * share().view({1, heads_, 1, 1});
}

}  // namespace mneme
