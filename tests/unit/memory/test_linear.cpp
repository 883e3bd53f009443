// The linear memory: token loop against autograd of the inner loss, chunked form against the loop, splits, tiles.
#include "tests/support/tensors.h"

#include "memory/linear_chunked.h"
#include "memory/mlp.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using memory::LinearCall;
using memory::LinearWeights;

namespace {

std::vector<at::Tensor> random_inputs(int64_t N, int64_t T, int64_t E, int64_t D) {
  return {nn::l2_normalize(normal({N, T, E})), nn::l2_normalize(normal({N, T, E})), normal({N, T, D}), uniform({N, T}, 0, .5),
          uniform({N, T}, 0, .3),              uniform({N, T}, 0, .9),              normal({N, E, D}), normal({N, E, D}) * .1};
}

struct Case {
  int64_t tile = 64;
  bool momentum = true;
  int64_t group = 1;
  bool masked = false, before = false, decayed = false;
};

// The definition: the loop over tokens of a network of one matrix.
at::Tensor linear_reference(const LinearCall& call, LinearWeights& state) {
  memory::MlpCall c;
  c.net.depth = 1, c.net.form = memory::Form::plain;
  c.query = call.query, c.key = call.key, c.value = call.value, c.theta = {call.theta}, c.alpha = {call.alpha};
  const bool momentum = call.eta.defined();
  if (momentum) c.eta = {call.eta};
  c.step = call.step, c.group = call.group, c.refresh = call.group, c.gradient = memory::Gradient::exact_last;
  c.read_before = call.read_before, c.decayed = call.decayed;
  memory::MlpWeights w{{state.weights}, {}, {}, {}, {}, {}, {}};
  if (momentum) w.momentum = {state.momentum};
  const at::Tensor reads = memory::mlp_reference(c, w);
  state.weights = w.weights[0];
  if (momentum) state.momentum = w.momentum[0];
  return reads;
}

// f = linear_reference or linear_chunked → reads, weights, momentum
template <class F>
Function kernel(F f, Case c) {
  return [=](const std::vector<at::Tensor>& x) {
    LinearCall call{x[0], x[1], x[2], x[3], x[4], c.momentum ? x[5] : at::Tensor()};
    call.tile = c.tile, call.group = c.group;
    call.read_before = c.before, call.decayed = c.decayed;
    if (c.masked) {  // every third token, and a whole stretch
      call.step = at::ones_like(x[3]);
      call.step.slice(1, 0, c10::nullopt, 3).fill_(0);
      if (call.step.size(1) > 20) call.step.narrow(1, 10, 8).fill_(0);
    }
    LinearWeights w{x[6], c.momentum ? x[7] : at::Tensor()};
    std::vector<at::Tensor> r{f(call, w), w.weights};
    if (c.momentum) r.push_back(w.momentum);
    return r;
  };
}

// An oracle that shares no formula: the inner gradient by autograd.
at::Tensor autograd_loop(const LinearCall& call, LinearWeights& state) {
  const int64_t N = call.key.size(0);
  std::vector<at::Tensor> reads;
  for (int64_t t = 0; t < call.key.size(1); ++t) {
    at::AutoGradMode grad(true);
    const at::Tensor M = leaf(state.weights);
    const at::Tensor error = at::bmm(call.key.narrow(1, t, 1), M) - call.value.narrow(1, t, 1);
    const at::Tensor u = torch::autograd::grad({(error * error).sum()}, {M})[0];
    auto gate = [&](const at::Tensor& g) { return g.select(1, t).view({N, 1, 1}); };
    state.momentum = gate(call.eta) * state.momentum - gate(call.theta) * u;
    state.weights = (1 - gate(call.alpha)) * state.weights + state.momentum;
    reads.push_back(at::bmm(call.query.narrow(1, t, 1), state.weights));
  }
  return at::cat(reads, 1);
}

}  // namespace

TEST_CASE("linear memory: the token loop follows the gradient of the inner loss", "[memory][linear]") {
  torch::manual_seed(1);
  const auto x = random_inputs(3, 20, 8, 6);
  const LinearCall call{x[0], x[1], x[2], x[3], x[4], x[5]};
  LinearWeights a{x[6], x[7]}, b = a;
  REQUIRE(relative_error(linear_reference(call, a), autograd_loop(call, b)) < kExact);
  REQUIRE(relative_error(a.weights, b.weights) < kExact);
  REQUIRE(relative_error(a.momentum, b.momentum) < kExact);
}

TEST_CASE("linear memory: chunked equals the token loop, states and every gradient: groups, masks, reads before, decayed gradients", "[memory][linear]") {
  torch::manual_seed(2);
  for (int64_t T : {1, 2, 63, 64, 65, 100})
    for (const Case& c : {Case{}, Case{16}, Case{10}, Case{64, false}, Case{64, true, 4}, Case{16, false, 5}, Case{16, true, 1, true}, Case{16, true, 4, true},
                          Case{32, true, 1, false, true}, Case{32, true, 3, false, true, true}, Case{32, true, 1, true, false, true}}) {
      INFO("T " << T << " tile " << c.tile << " momentum " << c.momentum << " group " << c.group << " masked " << c.masked);
      require_same(kernel(memory::linear_chunked, c), kernel(linear_reference, c), random_inputs(2, T, 8, 5), kExact, kExactGradient);
    }
}

TEST_CASE("linear memory: α = 1, η = 0 and θ = 0 are exact", "[memory][linear]") {
  torch::manual_seed(3);
  auto x = random_inputs(2, 40, 8, 8);
  x[4].narrow(1, 10, 3).fill_(1);
  x[5].narrow(1, 20, 3).fill_(0);
  x[3].narrow(1, 25, 5).fill_(0);
  require_same(kernel(memory::linear_chunked, {16}), kernel(linear_reference, {}), x, kExact, kExactGradient);
}

TEST_CASE("linear memory: steps up to 1 (β = 2 θ up to 2, negative eigenvalues) equal the token loop and stay bounded", "[memory][linear]") {
  torch::manual_seed(6);
  auto x = random_inputs(2, 200, 8, 5);
  x[3] = uniform({2, 200}, .5, 1), x[4] = uniform({2, 200}, 0, .01);
  x[3].narrow(1, 40, 40).fill_(1);
  for (int64_t tile : {16, 64}) require_same(kernel(memory::linear_chunked, {tile, false}), kernel(linear_reference, {64, false}), x, kExact, kExactGradient);
  x[1] = x[1].narrow(1, 0, 1).expand_as(x[1]).contiguous(), x[2].zero_();  // one key: an eigenvalue down to −1
  REQUIRE(kernel(memory::linear_chunked, {64, false})(x)[1].norm().item<double>() <= x[6].norm().item<double>());
}

TEST_CASE("linear memory: an empty call reads nothing and changes nothing", "[memory][linear]") {
  for (const Case& c : {Case{}, Case{64, false}, Case{64, true, 4, true}}) {
    const auto x = random_inputs(2, 0, 8, 5);
    const auto r = kernel(memory::linear_chunked, c)(x);
    REQUIRE(r[0].sizes() == at::IntArrayRef({2, 0, 5}));
    REQUIRE(at::equal(r[1], x[6]));
    if (c.momentum) REQUIRE(at::equal(r[2], x[7]));
  }
}

TEST_CASE("linear memory: any split into calls equals one call", "[memory][linear]") {
  torch::manual_seed(4);
  const auto x = random_inputs(2, 90, 8, 8);
  auto run = [&](const std::vector<int64_t>& cuts, LinearWeights& w) {
    std::vector<at::Tensor> reads;
    int64_t first = 0;
    for (int64_t next : cuts) {
      auto part = [&](int i) { return x[i].narrow(1, first, next - first); };
      LinearCall call{part(0), part(1), part(2), part(3), part(4), part(5)};
      call.tile = 32;
      reads.push_back(memory::linear_chunked(call, w));
      first = next;
    }
    return at::cat(reads, 1);
  };
  LinearWeights one{x[6], x[7]}, many = one, tokens = one;
  const at::Tensor whole = run({90}, one);
  REQUIRE(relative_error(run({1, 5, 31, 33, 64, 89, 90}, many), whole) < kExact);
  REQUIRE(relative_error(many.weights, one.weights) < kExact);
  std::vector<int64_t> each(90);
  for (int i = 0; i < 90; ++i) each[i] = i + 1;
  REQUIRE(relative_error(run(each, tokens), whole) < kExact);
  REQUIRE(relative_error(tokens.momentum, one.momentum) < kExact);
}

TEST_CASE("linear memory: later tokens and other rows leave bits unchanged; fp32 is close to fp64", "[memory][linear]") {
  torch::manual_seed(5);
  auto x = random_inputs(4, 150, 24, 24);
  auto single = [](std::vector<at::Tensor> v) {
    for (auto& t : v) t = t.to(at::kFloat);
    return v;
  };
  const auto run = kernel(memory::linear_chunked, {});
  const at::Tensor reads = run(single(x))[0];
  REQUIRE(relative_error(reads, kernel(linear_reference, {})(x)[0]) < kSingle);
  auto later = single(x), other = single(x);
  for (int i = 0; i < 3; ++i) {
    later[i].narrow(1, 97, 53).normal_();
    other[i][2].normal_();
  }
  REQUIRE(at::equal(run(later)[0].narrow(1, 0, 97), reads.narrow(1, 0, 97)));
  REQUIRE(at::equal(run(other)[0].narrow(0, 0, 2), reads.narrow(0, 0, 2)));
}
