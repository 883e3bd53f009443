#include "memory/loop_memory.h"

#include <ATen/ATen.h>

#include <cmath>

#include "memory/recurrent_memory.h"

namespace mneme::memory {

LoopMemory::LoopMemory(const MemoryContext& context)
    : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
  at_start_ = register_buffer("at_start", at::zeros({1}, at::kFloat));
}

void LoopMemory::start(State& state, int64_t rows) {
  for (const auto& [name, x] : begin(rows, at_start_.options())) state.tensor(name) = x;
}

at::Tensor LoopMemory::forward(const MemoryInput& input, State& state) {
  const int64_t B = input.key.size(0), T = input.key.size(2);
  if (T == 0) {
    if (input.losses) *input.losses = at::empty({B, heads_, 0}, input.value.options());
    return at::empty_like(input.value);
  }
  if (state.empty()) start(state, B);
  Tensors now;
  for (const auto& [name, x] : state.flatten())
    if (name != "position") now[name] = x;
  // Split, not selected token by token: the backward pass then writes each gradient once.
  auto tokens_of = [](const at::Tensor& x) { return x.unbind(2); };
  const std::vector<at::Tensor> keys = tokens_of(input.key), values = tokens_of(input.value), queries = input.query.split(1, 2);
  std::map<std::string, std::vector<at::Tensor>> gates;
  for (const auto& [name, x] : input.gates) gates[name] = tokens_of(x);
  std::vector<at::Tensor> reads, losses;
  for (int64_t t = 0; t < T; ++t) {
    Token token{keys[t], values[t], {}};
    for (const auto& [name, x] : gates) token.gates[name] = x[t];
    if (options_.read == "before") reads.push_back(read_of(queries[t], now));
    Tensors next = now;
    losses.push_back(step(token, next));
    if (input.step.defined())  // a token that is no step leaves everything where it was
      for (auto& [name, x] : next) {
        std::vector<int64_t> sizes(x.dim(), 1);
        sizes[0] = B;
        x = at::where(input.step.select(1, t).view(sizes), x, now.at(name));
      }
    now = std::move(next);
    if (options_.read != "before") reads.push_back(read_of(queries[t], now));
  }
  double square = 0;
  for (const auto& [name, x] : now) {
    state.tensor(name) = x;
    if (input.probe) square += x.square().sum().item<double>() / double(B * heads_);
  }
  state.position += T;
  const at::Tensor all = at::stack(losses, 2);
  if (input.losses) *input.losses = all;
  if (input.probe) {
    input.probe->mean({"surprise", "1", "inner loss of a token before its own step, mean"}, all.mean().item<double>(), double(all.numel()));
    input.probe->mean({"weights_norm", "1", "Frobenius norm of a head's state after a call, root mean square"}, std::sqrt(square), double(T));
  }
  return at::cat(reads, 2);
}

at::Tensor LoopMemory::read(const at::Tensor& query, State& state) {
  if (state.empty()) return read_of(query, begin(query.size(0), query.options()));
  Tensors now;
  for (const auto& [name, x] : state.flatten())
    if (name != "position") now[name] = x;
  return read_of(query, now);
}

void check_loop_rule(const MemoryOptions& options, Problems& problems) {
  check_recurrent_rule(options, problems);
  if (options.kernel == "chunked" || options.kernel == "fused")
    problems.add("memory.kernel", "memory.kind = " + options.kind + " has a token loop only; allowed: auto, reference");
}

}  // namespace mneme::memory
