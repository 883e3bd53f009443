#include "memory/network_rows.h"

#include <ATen/ATen.h>

namespace mneme::memory {
namespace {

using Layers = std::vector<at::Tensor>;

at::Tensor flat_rows(const at::Tensor& x) { return x.defined() ? x.flatten(0, 1) : x; }

template <class F>
void for_each_weight(NetworkWeights& w, const F& f) {
  auto all = [&](Layers& list) {
    for (at::Tensor& x : list) x = f(x);
  };
  all(w.weights), all(w.momentum), all(w.refresh_point), all(w.load);
  for (Layers& list : w.sweep_weights) all(list);
  for (Layers& list : w.sweep_momentum) all(list);
}

}  // namespace

NetworkRows::NetworkRows(const NetworkCall& call)
    : query(flat_rows(call.query)), key(flat_rows(call.key)), value(flat_rows(call.value)), gain(flat_rows(call.gain)) {
  auto by_weight = [](const at::Tensor& gates) { return gates.defined() ? flat_rows(gates).unbind(2) : Layers(); };
  theta = by_weight(call.theta), alpha = by_weight(call.alpha), eta = by_weight(call.eta);
  for (const at::Tensor& x : call.initial) initial.push_back(flat_rows(x));
  if (call.step.defined()) step = flat_rows(call.step.to(key.scalar_type()).unsqueeze(1).expand({-1, call.key.size(1), -1}));
}

std::vector<NetworkRows> NetworkRows::split(const std::vector<int64_t>& sizes) const {
  std::vector<NetworkRows> parts(sizes.size(), *this);
  auto cut = [&](const at::Tensor& x, auto&& put) {
    if (!x.defined()) return;
    const Layers pieces = x.split_with_sizes(sizes, 1);
    for (size_t i = 0; i < sizes.size(); ++i) put(parts[i]) = pieces[i];
  };
  for (at::Tensor NetworkRows::*x : {&NetworkRows::query, &NetworkRows::key, &NetworkRows::value, &NetworkRows::step})
    cut(this->*x, [x](NetworkRows& part) -> at::Tensor& { return part.*x; });
  for (Layers NetworkRows::*gates : {&NetworkRows::theta, &NetworkRows::alpha, &NetworkRows::eta})
    for (size_t l = 0; l < (this->*gates).size(); ++l)
      cut((this->*gates)[l], [gates, l](NetworkRows& part) -> at::Tensor& { return (part.*gates)[l]; });
  return parts;
}

void to_rows(const NetworkCall& call, NetworkWeights& w) {
  for_each_weight(w, flat_rows);
  w.firings = call.guarded() ? at::zeros({}, call.value.options().dtype(at::kLong)) : at::Tensor();
  w.losses = call.losses ? at::empty({call.value.size(0) * call.value.size(1), 0}, call.value.options()) : at::Tensor();
}

void to_heads(const NetworkCall& call, NetworkWeights& w) {
  for_each_weight(w, [&](const at::Tensor& x) { return to_heads(call, x); });
  if (w.losses.defined()) w.losses = to_heads(call, w.losses);
}

at::Tensor to_heads(const NetworkCall& call, const at::Tensor& rows) { return rows.unflatten(0, call.value.sizes().slice(0, 2)); }

}  // namespace mneme::memory
