// A memory that is off is a constant map with the same parameters, in every registered block, and what a memory is whose gates stay
// closed.
#include "tests/property/model_runs.h"

using namespace mneme;
using namespace mneme::test;

namespace {

/// The variant where nothing but the memory can tell a token of another one.
Variant alone(Variant v) {
  v.model.attention = "window", v.model.window = 1, v.model.conv_width = 0, v.model.positions = "none";
  set_segment(v.model, 1);
  return v;
}

std::vector<Variant> with_memory() {
  std::vector<Variant> all = variants();
  std::erase_if(all, [](const Variant& v) { return !has_memory(v) || v.memory.off; });
  return all;
}

}  // namespace

TEST_CASE("models: with its memory off a model has the same parameters and carries no memory", "[models][property][conformance]") {
  INFO("memory.off: parameters are made whatever the options that change at test time say");
  at::NoGradGuard no_grad;
  for (const Variant& v : with_memory()) {
    INFO(v.name);
    Variant off = v;
    off.memory.off = true;
    const auto a = make(off, at::kFloat)->named_parameters(), b = make(v, at::kFloat)->named_parameters();
    REQUIRE(a.keys() == b.keys());
    for (const auto& p : a) REQUIRE(at::equal(p.value(), b[p.key()]));
    State state;
    run(*make(off, at::kFloat), tokens(2, 30), state);
    for (const auto& [name, tensor] : state.flatten()) REQUIRE(name.find("memory/memory") == std::string::npos);
  }
}

TEST_CASE("models: a memory that is off is a constant map: what came before a token does not matter", "[models][property][conformance]") {
  INFO("on, a memory hands on what it was written; off, read() of a fresh state answers for the initial weights");
  at::NoGradGuard no_grad;
  for (Variant v : with_memory()) {
    INFO(v.name);
    v = alone(v);
    const at::Tensor x = tokens(2, 24);
    auto last_alone = [&](SequenceModel& model) { return run(model, x.narrow(1, 23, 1)); };
    const auto on = make(v, at::kDouble);
    REQUIRE(relative_error(last_alone(*on), run(*on, x).narrow(1, 23, 1)) > 1e-6);
    v.memory.off = true;
    const auto off = make(v, at::kDouble);
    State state;
    REQUIRE(relative_error(last_alone(*off), run(*off, x, state).narrow(1, 23, 1)) < kExact);
    REQUIRE(relative_error(run(*off, x, state), run(*off, x)) < kExact);  // nor what a call before it was
  }
}

TEST_CASE("models: a memory that is off is one whose gates are closed", "[models][property]") {
  at::NoGradGuard no_grad;
  for (Variant v : with_memory()) {
    INFO(v.name);
    if (v.memory.kind == "rwkv7") continue;  // what it writes has a part that no gate closes, as published
    if (v.memory.kind == "tnt") continue;  // its local memories read through the projection on the keys, which no gate closes, as published
    if (v.memory.cache > 0) continue;  // while it is not full it keeps every pair, of whatever write
    constexpr double kClosed = -1e4;  // σ is 0
    v.memory.theta_bias = v.memory.alpha_bias = kClosed;
    const at::Tensor x = tokens(2, 40);
    const at::Tensor closed = run(*make(v, at::kDouble), x);
    v.memory.off = true;
    REQUIRE(relative_error(run(*make(v, at::kDouble), x), closed) < kExact);
  }
}
