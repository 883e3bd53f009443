// Any split of a sequence into calls, down to one token a call, is one call: for every registered block and memory.
#include <set>

#include "tests/property/model_runs.h"
#include "tests/support/memory_options.h"

using namespace mneme;
using namespace mneme::test;

namespace {

struct Size {
  int64_t rows, tokens;
};

/// A long one for every variant; in turn a longer, a short and a ragged one.
std::vector<Size> sizes(size_t number) {
  const std::vector<Size> shorter{{3, 1}, {1, 2}, {3, 2}, {1, 1}}, further{{1, 100}, {1, 63}, {1, 100}, {3, 64}};
  std::vector<Size> all{{3, 65}, shorter[number / 2 % shorter.size()], further[number % further.size()]};
  if (subjects().chosen) all.insert(all.end(), {{1, 63}, {1, 100}});
  return all;
}

/// Short calls, which end inside groups, refresh intervals and segments; of the longest row also calls of up to a third.
std::vector<std::vector<int64_t>> splits(const Variant& v, int64_t T, Random& random) {
  const std::vector<int64_t> many = random_cuts(T, T == 100 ? 12 : 7, random);
  if (T > 60) REQUIRE((some_inside(many, v.memory.group) && some_inside(many, v.memory.refresh) && some_inside(many, segment_of(v.model))));
  if (T < 100) return {many};
  return {many, random_cuts(T, T / 3, random)};
}

}  // namespace

TEST_CASE("variants: every block meets groups, sweeps, stale guarded gradients and every head width", "[models][property]") {
  std::map<std::string, std::set<std::string>> met;
  for (const Variant& v : variants()) {
    const AnyMemory& o = v.memory;
    if (!has_memory(v) || o.off) continue;
    std::set<std::string>& of_block = met[v.model.kind];
    if (o.group > 1 && o.gradient == "refresh" && o.refresh > o.group && o.guard) of_block.insert("stale guarded groups");
    if (o.group > 1 && o.gate_pooling == "attention") of_block.insert("pooled groups");
    if (o.gradient == "sweeps") of_block.insert(o.group > 1 ? "sweeps of groups" : "sweeps");
    of_block.insert("width " + std::to_string(o.head_width ? o.head_width : v.model.width / o.heads));
    of_block.insert("heads " + std::to_string(o.heads));
  }
  for (const auto& plugin : BlockRegistry::instance().all()) {
    if (!plugin.has_memory) continue;
    INFO(plugin.name);
    for (const char* what : {"stale guarded groups", "pooled groups", "sweeps", "sweeps of groups", "width 8", "width 24", "width 60",
                             "width 64", "heads 1", "heads 5"}) {
      INFO(what);
      REQUIRE(met[plugin.name].count(what) == 1);
    }
  }
}

TEST_CASE("models: any split into calls gives the same logits and the same state", "[models][property][conformance]") {
  INFO("whatever a token needs of those before it is in the state: look for a member or a static that is kept between calls, or a count of tokens in the call");
  at::NoGradGuard no_grad;
  Random random(2);
  size_t number = 0;
  for (const Variant& v : variants()) {
    const auto model = make(v, at::kDouble), single = make(v, at::kFloat);
    for (const auto& [B, T] : sizes(number++)) {
      INFO(v.name << ", " << B << " rows of " << T);
      const at::Tensor x = tokens(B, T);
      State one;
      const at::Tensor whole = run(*model, x, one);
      for (const std::vector<int64_t>& cuts : splits(v, T, random)) {
        State split;
        REQUIRE(relative_error(run_split(*model, x, cuts, split), whole) < kExact);
        require_same_state(split, one, kExact);
      }
      if (T <= 2 || T == 65) {
        State decoded;
        REQUIRE(relative_error(run_split(*model, x, every_token(T), decoded), whole) < kExact);
        require_same_state(decoded, one, kExact);
      }
      if (T < 100) continue;
      State s;
      const double last_bit = relative_error(run_split(*single, x, random_cuts(T, T / 3, random), s), run(*single, x));
      REQUIRE(last_bit < (v.model.kind == "mac" ? 10 : 1) * kSingle);  // which feeds its output back
    }
  }
}

TEST_CASE("models: gradients do not depend on the split", "[models][property][conformance]") {
  INFO("what goes into the state goes with its graph: no detach()");
  Random random(3);
  size_t number = 0;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const int64_t T = 33, B = number++ % 2 ? 1 : 3;
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(B, T);
    auto of = [&](const std::vector<int64_t>& cuts) {
      State state;
      return gradients(*model, run_split(*model, x, cuts, state).square().mean());
    };
    const auto one = of({T}), many = of(random_cuts(T, 11, random));
    REQUIRE(one.size() == many.size());
    for (const auto& [name, gradient] : one) {
      INFO(name);
      REQUIRE(relative_error(many.at(name), gradient) < kExactGradient);
    }
  }
}

TEST_CASE("models: an empty call reads nothing and changes nothing", "[models][property][conformance]") {
  INFO("a call of T = 0 tokens reads [B,H,0,V] (of a block [B,0,C]) and leaves the state as it was, a fresh one fresh");
  at::NoGradGuard no_grad;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(2, 9);
    State with, without;
    REQUIRE(run(*model, x.narrow(1, 0, 0), with).sizes() == at::IntArrayRef({2, 0, 32}));
    REQUIRE(at::equal(run_split(*model, x, {5, 5, 9}, with), run_split(*model, x, {5, 9}, without)));
    require_same_state(with, without, 0);
  }
}
