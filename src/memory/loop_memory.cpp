#include "memory/loop_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/group.h"
#include "memory/unread_options.h"

namespace mneme::memory {
namespace {

bool is_of_rule(const std::string& name) { return name != "position" && name.rfind("pending_", 0) != 0; }

// What a rule made of a state, without the tokens that wait beside it.
std::map<std::string, at::Tensor> rule_state(const State& state) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, x] : state.flatten())
    if (is_of_rule(name)) tensors[name] = x;
  return tensors;
}

std::vector<at::Tensor> in_parts(const at::Tensor& x, int64_t size) { return x.defined() ? x.split(size, x.dim() == 2 ? 1 : 2) : std::vector<at::Tensor>{}; }

}  // namespace

LoopMemory::LoopMemory(const MemoryContext& context)
    : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
  at_start_ = register_buffer("at_start", at::zeros({1}, at::kFloat));
}

void LoopMemory::start(State& state, int64_t rows) {
  for (const auto& [name, x] : begin(rows, at_start_.options())) state.tensor(name) = x;
}

at::Tensor LoopMemory::forward(const MemoryInput& input, State& state) {
  const int64_t B = input.key.size(0), T = input.key.size(2), g = options_.group;
  if (T == 0) {
    if (input.losses) *input.losses = at::empty({B, heads_, 0}, input.value.options());
    return at::empty_like(input.value);
  }
  if (state.empty()) start(state, B);
  Tensors now = rule_state(state);
  std::vector<std::string> names;
  for (const auto& [name, x] : input.gates) names.push_back(name);
  const Joined joined = join_pending(input, state, g, names);
  const MemoryInput& all = joined.input;
  const int64_t tokens = joined.waiting + T, groups = tokens / g;

  // Split, not selected step by step: the backward pass then writes each gradient once.
  const std::vector<at::Tensor> keys = in_parts(all.key, g), values = in_parts(all.value, g), flags = in_parts(all.step, g);
  std::map<std::string, std::vector<at::Tensor>> gates;
  for (const auto& [name, x] : all.gates) gates[name] = in_parts(x, g);
  auto tokens_of = [&](int64_t i) {
    Tokens part{keys[i], values[i], {}, flags.empty() || g == 1 ? at::Tensor() : flags[i]};
    for (const auto& [name, x] : gates) part.gates[name] = x[i];
    return part;
  };
  // Queries that see i groups, of this call.
  const int64_t first = options_.read == "before" ? g : g - 1;
  std::vector<int64_t> answered;
  for (int64_t i = 0, from = joined.waiting; i <= groups; ++i) {
    const int64_t to = std::clamp(first + i * g, from, tokens);
    answered.push_back(to - from), from = to;
  }
  const std::vector<at::Tensor> queries = input.query.split_with_sizes(answered, 2);
  std::vector<at::Tensor> reads, losses;
  auto answer = [&](int64_t i) {
    if (queries[i].size(2) > 0) reads.push_back(read_of(queries[i], now));
  };
  answer(0);
  for (int64_t i = 0; i < groups; ++i) {
    Tensors next = now;
    losses.push_back(step(tokens_of(i), next));
    if (!flags.empty()) {  // tokens that are no steps leave everything where it was
      const at::Tensor moves = g == 1 ? flags[i] : std::get<0>(flags[i].max(1, true));
      for (auto& [name, x] : next) {
        std::vector<int64_t> sizes(x.dim(), 1);
        sizes[0] = B;
        x = at::where(moves.view(sizes), x, now.at(name));
      }
    }
    now = std::move(next);
    answer(i + 1);
  }
  const bool measured = input.losses || input.probe;
  if (measured && groups * g < tokens) {  // of tokens that wait: where they stand now
    Tensors unused = now;
    losses.push_back(step(tokens_of(groups), unused));
  }
  double square = 0;
  for (const auto& [name, x] : now) {
    state.tensor(name) = x;
    if (input.probe) square += x.square().sum().item<double>() / double(B * heads_);
  }
  state.position += T;
  if (measured) {
    const at::Tensor each = at::cat(losses, 2).narrow(2, joined.waiting, T);
    if (input.losses) *input.losses = each;
    if (input.probe) {
      input.probe->mean({"surprise", "1", "inner loss of a token before its own step, mean"}, each.mean().item<double>(), double(each.numel()));
      input.probe->mean({"weights_norm", "1", "Frobenius norm of a head's state after a call, root mean square"}, std::sqrt(square), double(T));
    }
  }
  return at::cat(reads, 2);
}

at::Tensor LoopMemory::read(const at::Tensor& query, State& state) {
  return read_of(query, state.empty() ? begin(query.size(0), query.options()) : rule_state(state));
}

State LoopMemory::readable(const State& state) const {
  State held;
  held.position = state.position;
  for (const auto& [name, x] : state.flatten())
    if (is_of_rule(name) && is_read(name)) held.tensor(name) = x;
  return held;
}

void check_loop_rule(const MemoryOptions& options, Problems& problems) { check_unread_options(options, {"kernel", "read"}, problems); }

}  // namespace mneme::memory
