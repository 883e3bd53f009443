#include "memory/pending.h"

#include <ATen/ATen.h>

namespace mneme::memory {

Joined join_pending(const MemoryInput& input, State& state, int64_t group) {
  if (group == 1) return {input, 0};
  const int64_t waiting = state.position % group, steps = waiting + input.key.size(2), left = steps % group;
  MemoryInput all = input;
  // Queries have been answered, and only a group's last token gives it α and η.
  auto padded = [&](const at::Tensor& x) { return waiting ? at::constant_pad_nd(x, {0, 0, waiting, 0}) : x; };
  all.query = padded(input.query);
  for (auto& [name, gate] : all.gates)
    if (name != "theta") gate = padded(gate);
  auto carry = [&](const char* name, const at::Tensor& now, int64_t dim) {
    at::Tensor& held = state.tensor(name);
    const at::Tensor whole = waiting ? at::cat({held, now}, dim) : now;
    held = whole.narrow(dim, steps - left, left).clone();
    return whole;
  };
  all.key = carry("pending_key", input.key, 2);
  all.value = carry("pending_value", input.value, 2);
  all.gates["theta"] = carry("pending_theta", input.gate("theta"), 2);
  const bool masked = input.step.defined() || state.has("pending_step");
  if (masked) {
    if (waiting && !state.has("pending_step")) state.tensor("pending_step") = at::ones({input.key.size(0), waiting}, at::kBool);
    const at::Tensor now = input.step.defined() ? input.step : at::ones({input.key.size(0), input.key.size(2)}, at::kBool);
    all.step = carry("pending_step", now, 1);
  }
  return {all, waiting};
}

}  // namespace mneme::memory
