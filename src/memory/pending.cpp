#include "memory/pending.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace mneme::memory {

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
