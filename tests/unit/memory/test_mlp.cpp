// Memory networks: the token loop and the tiles against autograd of the inner loss, the tiles against the loop at larger sizes
// (outputs, states, every outer gradient), groups, masks, sweeps.
#include "tests/unit/memory/network_oracle.h"

using namespace mneme;
using namespace mneme::test;
using memory::Form;
using memory::Gradient;
using memory::NetworkWeights;

namespace {

// Few tokens, as the oracle is slow, but several refresh points, and an unfinished group at the end.
NetworkCase shortened(NetworkCase c) {
  if (c.refresh <= 64) c.refresh = c.group == 1 ? std::min<int64_t>(c.refresh, 4) : 2 * c.group;
  return c;
}
int64_t tokens_of(const NetworkCase& c) { return c.masked ? 22 : 11; }  // a masked stretch holds whole groups

}  // namespace

TEST_CASE("memory networks: token loop and tiles follow autograd of the inner loss, states and outer gradients too", "[memory][mlp]") {
  for (const NetworkCase& all : network_cases()) {
    const NetworkCase c = shortened(all);
    INFO(c.name);
    torch::manual_seed(1);
    const auto x = network_inputs(c, 2, tokens_of(c), 5, 7);
    const Function oracle = network_function(network_oracle, c);
    require_same(network_function(memory::network_reference, c), oracle, x, kExact, kExactGradient);
    require_same(network_function(memory::network_chunked, c), oracle, x, kExact, kExactGradient);
  }
}

TEST_CASE("memory networks: sweeps follow their definition token by token, states and outer gradients too", "[memory][mlp]") {
  for (const NetworkCase& all : sweep_cases()) {
    const NetworkCase c = shortened(all);
    INFO(c.name);
    torch::manual_seed(1);
    const auto x = network_inputs(c, 2, tokens_of(c), 5, 7);
    require_same(network_function(memory::network_chunked, c), network_function(network_oracle, c), x, kExact, kExactGradient);
  }
}

TEST_CASE("memory networks: chunked equals the token loop, states and every gradient", "[memory][mlp]") {
  for (const NetworkCase& c : network_cases())
    for (int64_t T : {1, 2, 27}) {
      INFO(c.name << ", T " << T);
      torch::manual_seed(2);
      require_same(network_function(memory::network_chunked, c), network_function(memory::network_reference, c), network_inputs(c, 2, T, 6, 8), kExact,
                   kExactGradient);
    }
}

TEST_CASE("memory networks: chunked equals the token loop at tile borders", "[memory][mlp]") {
  for (int64_t T : {63, 64, 65, 100})
    for (Gradient gradient : {Gradient::refresh, Gradient::exact_last}) {
      INFO("T " << T);
      torch::manual_seed(3);
      NetworkCase c;
      c.gradient = gradient, c.refresh = 64;
      require_same(network_function(memory::network_chunked, c), network_function(memory::network_reference, c), network_inputs(c, 2, T, 8, 12), kExact,
                   kExactGradient);
    }
}

TEST_CASE("memory networks: a group is one step: gradients summed, gates of its last token", "[memory][mlp]") {
  // Oracle by identities: with θ of all but one token of a group at 0 and no other gates in between, a group of g tokens is a step
  // of that token alone.
  torch::manual_seed(4);
  NetworkCase grouped, single;
  grouped.group = 4, grouped.refresh = single.refresh = 16;
  auto x = network_inputs(grouped, 2, 16, 6, 8);
  std::vector<at::Tensor> picked = x;
  for (int i = 0; i < 3; ++i) picked[i] = x[i].slice(1, 3, c10::nullopt, 4).contiguous();
  for (int64_t l = 0; l < 2; ++l)
    for (int which = 0; which < 3; ++which) {
      at::Tensor& gate = x[3 + 7 * l + which];
      if (which == 0) gate = gate * at::tensor({0., 0., 0., 1.}, at::kDouble).repeat({4});
      picked[3 + 7 * l + which] = gate.slice(1, 3, c10::nullopt, 4).contiguous();
    }
  single.refresh = 4;
  const auto a = network_function(memory::network_chunked, grouped)(x), b = network_function(memory::network_reference, single)(picked);
  REQUIRE(relative_error(a[0].slice(1, 3, c10::nullopt, 4), b[0]) < kExact);
  for (size_t i = 2; i < a.size(); ++i) REQUIRE(relative_error(a[i], b[i]) < kExact);  // the state; 1: losses
}

TEST_CASE("memory networks: a masked token is no step: leaving it out gives the same reads and state", "[memory][mlp]") {
  torch::manual_seed(5);
  NetworkCase c;
  c.gradient = Gradient::exact_last, c.net.depth = 1, c.net.form = Form::plain, c.refresh = 1000, c.masked = true;
  const auto x = network_inputs(c, 2, 40, 6, 6);
  const at::Tensor kept = network_call(x, c).step[0].nonzero().squeeze(1);
  std::vector<at::Tensor> rest = x;
  for (at::Tensor& t : rest)
    if (t.size(1) == 40) t = t.index_select(1, kept);
  NetworkCase all = c;
  all.masked = false;
  const auto a = network_function(memory::network_chunked, c)(x), b = network_function(memory::network_reference, all)(rest);
  REQUIRE(relative_error(a[0].index_select(1, kept), b[0]) < kExact);
  for (size_t i = 2; i < a.size(); ++i) REQUIRE(relative_error(a[i], b[i]) < kExact);
}

TEST_CASE("memory networks: exact-last and sweeps at refresh 1 are the exact recurrence; sweeps converge to it", "[memory][mlp]") {
  for (int64_t depth : {2, 3}) {
    torch::manual_seed(6);
    NetworkCase exact;
    exact.net.depth = depth, exact.refresh = 1;
    const auto x = network_inputs(exact, 2, 32, 8, 8);
    const at::Tensor truth = network_function(memory::network_reference, exact)(x)[0];
    NetworkCase one = exact;
    one.gradient = Gradient::exact_last;
    REQUIRE(relative_error(network_function(memory::network_chunked, one)(x)[0], truth) < kExact);
    double last = 1e9;
    for (int64_t n : {0, 1, 3, 6}) {
      NetworkCase c = exact;
      c.refresh = 32, c.gradient = n ? Gradient::sweeps : Gradient::exact_last, c.sweeps = n;
      const double error = relative_error(network_function(memory::network_chunked, c)(x)[0], truth);
      INFO("depth " << depth << " sweeps " << n << " error " << error);
      REQUIRE(error < last);
      last = error;
    }
    REQUIRE(last < 1e-4);
  }
}

TEST_CASE("memory networks: an empty call reads nothing and changes nothing", "[memory][mlp]") {
  auto cases = network_cases();
  for (const NetworkCase& c : sweep_cases()) cases.push_back(c);
  for (NetworkCase c : cases)
    for (int64_t position : {0, 5}) {
      INFO(c.name << ", position " << position);
      torch::manual_seed(8);
      c.position = position;
      const auto x = network_inputs(c, 2, 3, 6, 8);
      for (const auto f : {&memory::network_chunked, &memory::network_reference}) {
        if (f == &memory::network_reference && c.gradient == Gradient::sweeps) continue;
        NetworkWeights w = network_state(x, c);
        const auto before = network_state_list(w);
        const at::Tensor reads = f(network_call(x, c, 0, 0), w);
        REQUIRE(reads.sizes() == at::IntArrayRef({2, 1, 0, 6}));
        REQUIRE(w.losses.sizes() == at::IntArrayRef({2, 1, 0}));
        const auto after = network_state_list(w);
        REQUIRE(after.size() == before.size());
        for (size_t i = 0; i < after.size(); ++i) REQUIRE(at::equal(after[i], before[i]));
      }
    }
}
