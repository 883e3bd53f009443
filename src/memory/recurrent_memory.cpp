#include "memory/recurrent_memory.h"

#include <ATen/ATen.h>

#include <cmath>

#include "memory/kernel_table.h"
#include "memory/unread_options.h"

namespace mneme::memory {
namespace {

struct AnyRecurrence {};  // both kernels take all of them

using RecurrenceRun = at::Tensor(const LinearRecurrence& call, at::Tensor& state);

const KernelTable<AnyRecurrence, RecurrenceRun>& recurrence_table() {
  static const KernelTable<AnyRecurrence, RecurrenceRun> table{
      {"chunked", "tiles of matrix products", "chunked", always, linear_recurrence_chunked},
      {"reference", "the loop over tokens: the definition", "reference", always, linear_recurrence_reference}};
  return table;
}

}  // namespace

at::Tensor linear_recurrence(const LinearRecurrence& call, at::Tensor& state, const std::string& kernel) {
  return choose(recurrence_table(), kernel, {}, {}).run(call, state);
}

std::vector<KernelFit> recurrence_kernels(const std::string& kernel, const CallShape& call) { return fits(recurrence_table(), kernel, {}, call); }

MemoryDescription RecurrentMemory::describe(const CallShape& call) const { return {equation(), recurrence_kernels(options_.kernel, call)}; }

RecurrentMemory::RecurrentMemory(const MemoryContext& context)
    : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
  at_start_ = register_buffer("at_start", at::zeros({1}, at::kFloat));
}

void RecurrentMemory::start(State& state, int64_t rows) {
  state.tensor("weights") = at::zeros({rows, heads_, key_width_, value_width_}, at_start_.options());
  start_own(state, rows);
}

LinearRecurrence RecurrentMemory::call_of(const Terms& t, const at::Tensor& step) const {
  LinearRecurrence call{t.query, t.write_key, t.write_value, t.log_decay, t.erase, t.along};
  if (step.defined()) {  // a token that is none: nothing decays, is erased or written
    const at::Tensor none = ~step.unsqueeze(1).unsqueeze(3);
    for (at::Tensor* x : {&call.write_value, &call.log_decay, &call.erase})
      if (x->defined()) *x = x->masked_fill(none, 0);
  }
  call.read_before = options_.read == "before";
  call.tile = options_.tile;
  return call;
}

at::Tensor RecurrentMemory::forward(const MemoryInput& input, State& state) {
  const int64_t B = input.key.size(0), T = input.key.size(2);
  if (T == 0) {
    if (input.losses) *input.losses = at::empty({B, heads_, 0}, input.value.options());
    return at::empty_like(input.value);
  }
  if (!state.has("weights")) start(state, B);
  const LinearRecurrence call = call_of(terms(input, state), input.step);
  at::Tensor& weights = state.tensor("weights");
  at::Tensor before = weights;
  const at::Tensor reads = linear_recurrence(call, weights, options_.kernel);
  state.position += T;
  if (input.losses || input.probe) {  // surprise ‖S_{t−1}ᵀ k_t − v_t‖²: a second pass, of values only
    const at::NoGradGuard values_only;
    LinearRecurrence asked = call;
    asked.query = input.key, asked.read_before = true;
    const at::Tensor losses = (linear_recurrence(asked, before, options_.kernel) - input.value).square().sum(-1);
    if (input.losses) *input.losses = losses;
    if (input.probe) {
      input.probe->mean({"surprise", "1", "squared error of a token's value before its own write, mean"}, losses.mean().item<double>(), double(losses.numel()));
      input.probe->mean({"weights_norm", "1", "Frobenius norm of a head's state after a call, root mean square"},
                        std::sqrt(weights.square().sum().item<double>() / double(B * heads_)), double(T));
    }
  }
  return reads;
}

at::Tensor RecurrentMemory::read(const at::Tensor& query, State& state) {
  if (!state.has("weights")) return at::zeros({query.size(0), heads_, query.size(2), value_width_}, query.options());
  return at::matmul(query, state.tensor("weights"));
}

State RecurrentMemory::readable(const State& state) const {
  State weights;
  weights.position = state.position;
  for (const auto& [name, x] : state.flatten())
    if (name == "weights") weights.tensor(name) = x;
  return weights;
}

void check_recurrent_rule(const MemoryOptions& options, Problems& problems) { check_unread_options(options, {"kernel", "read", "tile"}, problems); }

}  // namespace mneme::memory
