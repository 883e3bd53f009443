#include "memory/group.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace mneme::memory {

at::Tensor at_group_end(const at::Tensor& gates, int64_t dim, int64_t group) {
  const int64_t T = gates.size(dim);
  if (group == 1 || T == 0) return gates;
  const at::Tensor token = at::arange(T, gates.options().dtype(at::kLong));
  return gates.index_select(dim, (token.div(group, "floor") * group + group - 1).clamp_max(T - 1));
}

at::Tensor group_average(const at::Tensor& rows, const at::Tensor& weight, int64_t g, State& state) {
  const int64_t B = rows.size(0), T = rows.size(1), n = rows.size(2);
  const int64_t waiting = state.position % g, groups = (waiting + T + g - 1) / g, left = (waiting + T) % g;
  auto sums = [&](const char* name, const at::Tensor& x) {  // [B,T,n] → [B,groups,n]
    at::Tensor each = at::constant_pad_nd(x, {0, 0, waiting, groups * g - waiting - T}).view({B, groups, g, n}).sum(2);
    at::Tensor& held = state.tensor(name);
    if (waiting) each = at::cat({each.narrow(1, 0, 1) + held, each.narrow(1, 1, groups - 1)}, 1);
    held = left ? each.narrow(1, groups - 1, 1).clone() : at::zeros({B, 1, n}, x.options());
    return each;
  };
  const at::Tensor average = sums("group_sum", weight * rows) / sums("group_weight", weight).clamp_min(1e-12);
  state.advance(T);
  return average.repeat_interleave(g, 1).narrow(1, waiting, T);
}

Joined join_pending(const MemoryInput& input, State& state, int64_t group, const std::vector<std::string>& of_tokens) {
  if (group == 1) return {input, 0};
  const int64_t waiting = state.position % group, steps = waiting + input.key.size(2), left = steps % group;
  MemoryInput all = input;
  // Queries have been answered.
  auto padded = [&](const at::Tensor& x) { return waiting ? at::constant_pad_nd(x, {0, 0, waiting, 0}) : x; };
  all.query = padded(input.query);
  auto carry = [&](const std::string& name, const at::Tensor& now, int64_t dim) {
    at::Tensor& held = state.tensor("pending_" + name);
    const at::Tensor whole = waiting ? at::cat({held, now}, dim) : now;
    held = whole.narrow(dim, steps - left, left).clone();
    return whole;
  };
  for (auto& [name, gate] : all.gates) {
    const bool waits = std::find(of_tokens.begin(), of_tokens.end(), name) != of_tokens.end();
    gate = waits ? carry(name, gate, 2) : padded(gate);
  }
  all.key = carry("key", input.key, 2);
  all.value = carry("value", input.value, 2);
  const bool masked = input.step.defined() || state.has("pending_step");
  if (masked) {
    const at::TensorOptions flags = at::TensorOptions().dtype(at::kBool).device(input.key.device());
    if (waiting && !state.has("pending_step")) state.tensor("pending_step") = at::ones({input.key.size(0), waiting}, flags);
    const at::Tensor now = input.step.defined() ? input.step : at::ones({input.key.size(0), input.key.size(2)}, flags);
    all.step = carry("step", now, 1);
  }
  return {all, waiting};
}

}  // namespace mneme::memory
