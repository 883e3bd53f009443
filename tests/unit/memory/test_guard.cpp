// Guard of stale gradients: what it bounds, which steps count as shortened, and that an unfinished group has not been written.
#include "tests/unit/memory/network_oracle.h"

#include "memory/guard.h"

using namespace mneme;
using namespace mneme::test;
using memory::Form;
using memory::NetworkWeights;

namespace {

using KernelFunction = at::Tensor (*)(const memory::NetworkCall&, NetworkWeights&);

int64_t firings(KernelFunction f, const std::vector<at::Tensor>& x, const NetworkCase& c) {
  NetworkWeights w = network_state(x, c);
  f(network_call(x, c), w);
  return w.firings.item<int64_t>();
}

std::vector<NetworkCase> guarded_cases() {
  std::vector<NetworkCase> all;
  for (const NetworkCase& c : network_cases())
    if (c.guard && c.gradient == memory::Gradient::refresh) all.push_back(c);
  return all;
}

}  // namespace

TEST_CASE("guard: repeated keys stay bounded, distinct keys are untouched", "[memory][guard]") {
  torch::manual_seed(8);
  NetworkCase c;
  c.net.depth = 1, c.net.form = Form::plain, c.refresh = 64, c.momentum = false, c.to_initial = false;
  auto x = network_inputs(c, 1, 640, 64, 64);
  x[1] = x[1].narrow(1, 0, 1).expand_as(x[1]).contiguous();  // one key, written 640 times
  x[2] = x[2].narrow(1, 0, 1).expand_as(x[2]).contiguous();
  x[0] = x[1], x[3] = at::full_like(x[3], .5), x[4] = at::zeros_like(x[4]);
  auto error = [&] {
    const at::Tensor y = network_function(memory::network_chunked, c)(x)[0];
    return (y - x[2]).narrow(1, 630, 10).abs().max().item<double>();
  };
  REQUIRE_FALSE(error() < 1e6);  // 64 stale steps of .5 step 32 times too far
  c.guard = true;
  REQUIRE(error() < 1e-2);  // ten intervals, each at least halves it
  const at::Tensor distinct = at::eye(64, at::kDouble).unsqueeze(0);
  const memory::Guarded g = memory::guard(distinct, at::full({1, 64}, memory::kGuardLimit * .99, at::kDouble), {}, at::zeros({1, 64, 64}, at::kDouble), 1);
  REQUIRE(at::equal(g.factor, at::ones_like(g.factor)));
}

TEST_CASE("guard: counts the steps that were taken and shortened, in both forms, however calls are cut", "[memory][guard]") {
  for (NetworkCase c : guarded_cases()) {
    INFO(c.name);
    torch::manual_seed(9);
    const int64_t T = 30;  // the last group is unfinished
    auto x = network_inputs(c, 2, T, 6, 8);
    const memory::NetworkCall call = network_call(x, c);
    NetworkOracle oracle(call);
    for (int64_t n : {0, 1}) oracle.run(n, network_state(x, c));
    REQUIRE(oracle.firings > 0);
    REQUIRE(oracle.firings < oracle.steps);
    REQUIRE(firings(memory::network_chunked, x, c) == oracle.firings);
    REQUIRE(firings(memory::network_reference, x, c) == oracle.firings);
    for (const KernelFunction f : {&memory::network_chunked, &memory::network_reference}) {
      NetworkWeights w = network_state(x, c);
      int64_t sum = 0, first = 0;
      for (int64_t next : {c.group, 5 * c.group, T}) {
        f(network_call(x, c, first, next - first), w);
        sum += w.firings.item<int64_t>();
        first = next;
      }
      REQUIRE(sum == oracle.firings);
    }
  }
}

TEST_CASE("guard: no step, no firing: masked tokens, θ = 0, keys of zeros", "[memory][guard]") {
  torch::manual_seed(10);
  NetworkCase c;
  c.net.depth = 1, c.net.form = Form::plain, c.guard = true;
  auto x = network_inputs(c, 1, 16, 6, 6);
  x[1] = x[1].narrow(1, 0, 1).repeat({1, 16, 1}), x[3].fill_(.3), x[5].fill_(.5);  // .6 of .4: every token is shortened
  for (const KernelFunction f : {&memory::network_chunked, &memory::network_reference}) {
    auto y = x;
    REQUIRE(firings(f, y, c) == 16);
    y[3] = x[3].clone(), y[3].narrow(1, 3, 4).zero_();
    REQUIRE(firings(f, y, c) == 12);
    y[1] = x[1].clone(), y[1].narrow(1, 9, 2).zero_();
    REQUIRE(firings(f, y, c) == 10);
    NetworkCase masked = c;
    masked.masked = true;  // tokens 0, 3, …
    REQUIRE(firings(f, x, masked) == 16 - 6);
    // A zero key is written nowhere, so its derivative is finite too.
    const Derived d = derive(network_function(f, c), y);
    for (const at::Tensor& g : d.gradients) REQUIRE(g.isfinite().all().item<bool>());
  }
}

TEST_CASE("guard: rows whose products overflow leave no room, beside masked tokens too", "[memory][guard]") {
  const at::Tensor rows = at::full({1, 4, 6}, 1e10, at::kFloat), theta = at::tensor({.3f, 0.f, .3f, .3f}).unsqueeze(0);
  const memory::Guarded g = memory::guard(rows, theta, {}, at::zeros({1, 6, 6}, at::kFloat), 1);
  REQUIRE(g.factor[0].narrow(0, 2, 2).abs().max().item<float>() == 0);
  REQUIRE(g.firings.item<int64_t>() >= 2);
}

TEST_CASE("guard: tokens of an unfinished group have written nothing yet", "[memory][guard]") {
  torch::manual_seed(11);
  NetworkCase c;
  c.guard = true, c.group = 4;
  const auto x = network_inputs(c, 2, 11, 6, 8);
  for (const KernelFunction f : {&memory::network_chunked, &memory::network_reference}) {
    NetworkWeights whole = network_state(x, c), finished = whole;
    f(network_call(x, c), whole), f(network_call(x, c, 0, 8), finished);
    for (size_t l = 0; l < whole.load.size(); ++l) REQUIRE(relative_error(whole.load[l], finished.load[l]) < kExact);
    REQUIRE(at::equal(whole.firings, finished.firings));
  }
}
