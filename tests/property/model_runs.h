// A model over tokens, in one call or several, for the property tests.
#pragma once

#include <algorithm>
#include <map>

#include "mneme/random.h"
#include "tests/property/model_variants.h"

namespace mneme::test {

/// `write`: bool [B,T], ForwardContext::write; undefined = every token writes.
inline at::Tensor run(SequenceModel& model, const at::Tensor& x, State& state, const at::Tensor& write = {}) {
  ForwardContext context;
  context.write = write;
  return model.forward(x, state, context);
}
inline at::Tensor run(SequenceModel& model, const at::Tensor& x) {
  State state;
  return run(model, x, state);
}

/// `cuts`: ends of calls, the last one T.
inline at::Tensor run_split(SequenceModel& model, const at::Tensor& x, const std::vector<int64_t>& cuts, State& state,
                            const at::Tensor& write = {}) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (int64_t next : cuts) {
    auto part = [&](const at::Tensor& whole) { return whole.defined() ? whole.narrow(1, first, next - first) : whole; };
    parts.push_back(run(model, part(x), state, part(write)));
    first = next;
  }
  return at::cat(parts, 1);
}

/// A call's length is anything from 1 to `longest`.
inline std::vector<int64_t> random_cuts(int64_t T, int64_t longest, Random& random) {
  std::vector<int64_t> cuts;
  for (int64_t end = 0; end < T; cuts.push_back(end)) end = std::min(T, end + random.between(1, longest));
  return cuts;
}

inline std::vector<int64_t> every_token(int64_t T) {
  std::vector<int64_t> cuts(T);
  for (int64_t t = 0; t < T; ++t) cuts[t] = t + 1;
  return cuts;
}

/// Some call ends where no interval of this many tokens does.
inline bool some_inside(const std::vector<int64_t>& cuts, int64_t interval) {
  return interval == 1 || std::any_of(cuts.begin(), cuts.end() - 1, [&](int64_t cut) { return cut % interval != 0; });
}

inline void require_same_state(const State& a, const State& b, double tolerance) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO(x[i].first);
    REQUIRE(x[i].first == y[i].first);
    REQUIRE(relative_error(x[i].second, y[i].second) <= tolerance);
  }
}

/// By name; parameters that the loss does not meet are absent.
inline std::map<std::string, at::Tensor> gradients(SequenceModel& model, const at::Tensor& loss) {
  model.zero_grad();
  loss.backward();
  std::map<std::string, at::Tensor> result;
  for (auto& p : model.named_parameters())
    if (p.value().grad().defined()) result[p.key()] = p.value().grad().clone();
  return result;
}

}  // namespace mneme::test
