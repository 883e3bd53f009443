// The linear memory: token loop against autograd of the inner loss, its tiles against the loop, splits, sizes of tiles.
#include "tests/support/tensors.h"

#include "memory/network_kernels.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using memory::NetworkCall;
using memory::NetworkWeights;

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

// Rows [N,…] as the kernels have them, [N,1,…].
NetworkCall linear_call(const std::vector<at::Tensor>& x, const Case& c, int64_t first, int64_t steps) {
  auto part = [&](int i) { return x[i].narrow(1, first, steps).unsqueeze(1); };
  NetworkCall call;
  call.net.depth = 1, call.net.form = memory::Form::plain;
  call.query = part(0), call.key = part(1), call.value = part(2), call.theta = part(3).unsqueeze(3), call.alpha = part(4).unsqueeze(3);
  if (c.momentum) call.eta = part(5).unsqueeze(3);
  call.refresh = c.group, call.tile = c.tile, call.group = c.group;  // the loop's name for exact
  call.read_before = c.before, call.decayed = c.decayed;
  if (c.masked) {  // every third token, and a whole stretch
    call.step = at::ones({x[3].size(0), steps}, at::kBool);
    call.step.slice(1, 0, c10::nullopt, 3).fill_(false);
    if (steps > 20) call.step.narrow(1, 10, 8).fill_(false);
  }
  return call;
}

NetworkWeights linear_weights(const std::vector<at::Tensor>& x, const Case& c = {}) {
  NetworkWeights w{{x[6].unsqueeze(1)}};
  if (c.momentum) w.momentum = {x[7].unsqueeze(1)};
  return w;
}

// f = network_reference, network_chunked or network_linear → reads, weights, momentum
template <class F>
Function kernel(F f, Case c) {
  return [=](const std::vector<at::Tensor>& x) {
    NetworkWeights w = linear_weights(x, c);
    std::vector<at::Tensor> r{f(linear_call(x, c, 0, x[0].size(1)), w), w.weights[0]};
    if (c.momentum) r.push_back(w.momentum[0]);
    for (at::Tensor& y : r) y = y.squeeze(1);
    return r;
  };
}

// An oracle that shares no formula: the inner gradient by autograd. → reads, weights, momentum
std::vector<at::Tensor> autograd_loop(const std::vector<at::Tensor>& x) {
  at::Tensor W = x[6], S = x[7];
  std::vector<at::Tensor> reads;
  for (int64_t t = 0; t < x[1].size(1); ++t) {
    at::AutoGradMode grad(true);
    const at::Tensor M = leaf(W);
    const at::Tensor error = at::bmm(x[1].narrow(1, t, 1), M) - x[2].narrow(1, t, 1);
    const at::Tensor u = torch::autograd::grad({(error * error).sum()}, {M})[0];
    auto gate = [&](int i) { return x[i].select(1, t).view({-1, 1, 1}); };
    S = gate(5) * S - gate(3) * u;
    W = (1 - gate(4)) * W + S;
    reads.push_back(at::bmm(x[0].narrow(1, t, 1), W));
  }
  return {at::cat(reads, 1), W, S};
}

}  // namespace

TEST_CASE("linear memory: the token loop follows the gradient of the inner loss", "[memory][linear]") {
  torch::manual_seed(1);
  const auto x = random_inputs(3, 20, 8, 6);
  const auto loop = kernel(memory::network_reference, {})(x), oracle = autograd_loop(x);
  for (size_t i = 0; i < oracle.size(); ++i) REQUIRE(relative_error(loop[i], oracle[i]) < kExact);
}

TEST_CASE("linear memory: chunked equals the token loop, states and every gradient: groups, masks, reads before, decayed gradients", "[memory][linear]") {
  torch::manual_seed(2);
  for (int64_t T : {1, 2, 63, 64, 65, 100})
    for (const Case& c : {Case{}, Case{16}, Case{10}, Case{64, false}, Case{64, true, 4}, Case{16, false, 5}, Case{16, true, 1, true}, Case{16, true, 4, true},
                          Case{32, true, 1, false, true}, Case{32, true, 3, false, true, true}, Case{32, true, 1, true, false, true}}) {
      INFO("T " << T << " tile " << c.tile << " momentum " << c.momentum << " group " << c.group << " masked " << c.masked);
      require_same(kernel(memory::network_linear, c), kernel(memory::network_reference, c), random_inputs(2, T, 8, 5), kExact, kExactGradient);
    }
}

TEST_CASE("linear memory: α = 1, η = 0 and θ = 0 are exact", "[memory][linear]") {
  torch::manual_seed(3);
  auto x = random_inputs(2, 40, 8, 8);
  x[4].narrow(1, 10, 3).fill_(1);
  x[5].narrow(1, 20, 3).fill_(0);
  x[3].narrow(1, 25, 5).fill_(0);
  require_same(kernel(memory::network_linear, {16}), kernel(memory::network_reference, {}), x, kExact, kExactGradient);
}

TEST_CASE("linear memory: steps up to 1 (β = 2 θ up to 2, negative eigenvalues) equal the token loop and stay bounded", "[memory][linear]") {
  torch::manual_seed(6);
  auto x = random_inputs(2, 200, 8, 5);
  x[3] = uniform({2, 200}, .5, 1), x[4] = uniform({2, 200}, 0, .01);
  x[3].narrow(1, 40, 40).fill_(1);
  for (int64_t tile : {16, 64}) require_same(kernel(memory::network_linear, {tile, false}), kernel(memory::network_reference, {64, false}), x, kExact, kExactGradient);
  x[1] = x[1].narrow(1, 0, 1).expand_as(x[1]).contiguous(), x[2].zero_();  // one key: an eigenvalue down to −1
  REQUIRE(kernel(memory::network_linear, {64, false})(x)[1].norm().item<double>() <= x[6].norm().item<double>());
}

TEST_CASE("linear memory: an empty call reads nothing and changes nothing", "[memory][linear]") {
  for (const Case& c : {Case{}, Case{64, false}, Case{64, true, 4, true}}) {
    const auto x = random_inputs(2, 0, 8, 5);
    const auto r = kernel(memory::network_linear, c)(x);
    REQUIRE(r[0].sizes() == at::IntArrayRef({2, 0, 5}));
    REQUIRE(at::equal(r[1], x[6]));
    if (c.momentum) REQUIRE(at::equal(r[2], x[7]));
  }
}

TEST_CASE("linear memory: any split into calls equals one call", "[memory][linear]") {
  torch::manual_seed(4);
  const auto x = random_inputs(2, 90, 8, 8);
  auto run = [&](const std::vector<int64_t>& cuts, NetworkWeights& w) {
    std::vector<at::Tensor> reads;
    int64_t first = 0;
    for (int64_t next : cuts) {
      reads.push_back(memory::network_linear(linear_call(x, {32}, first, next - first), w));
      first = next;
    }
    return at::cat(reads, 2);
  };
  NetworkWeights one = linear_weights(x), many = one, tokens = one;
  const at::Tensor whole = run({90}, one);
  REQUIRE(relative_error(run({1, 5, 31, 33, 64, 89, 90}, many), whole) < kExact);
  REQUIRE(relative_error(many.weights[0], one.weights[0]) < kExact);
  std::vector<int64_t> each(90);
  for (int i = 0; i < 90; ++i) each[i] = i + 1;
  REQUIRE(relative_error(run(each, tokens), whole) < kExact);
  REQUIRE(relative_error(tokens.momentum[0], one.momentum[0]) < kExact);
}

TEST_CASE("linear memory: forgetting towards initial weights equals the token loop, states and every gradient", "[memory][linear]") {
  torch::manual_seed(7);
  auto x = random_inputs(2, 70, 8, 5);
  x.push_back(normal({2, 8, 5}));
  auto towards = [](auto f, bool decayed) {
    return [=](const std::vector<at::Tensor>& y) {
      NetworkWeights w = linear_weights(y);
      NetworkCall call = linear_call(y, {16, true, 1, false, false, decayed}, 0, 70);
      call.initial = {y[8].unsqueeze(1)};
      const at::Tensor reads = f(call, w);
      return std::vector<at::Tensor>{reads, w.weights[0], w.momentum[0]};
    };
  };
  for (bool decayed : {false, true})
    require_same(towards(memory::network_linear, decayed), towards(memory::network_reference, decayed), x, kExact, kExactGradient);
}

TEST_CASE("linear memory: later tokens and other rows leave bits unchanged; fp32 is close to fp64", "[memory][linear]") {
  torch::manual_seed(5);
  auto x = random_inputs(4, 150, 24, 24);
  auto single = [](std::vector<at::Tensor> v) {
    for (auto& t : v) t = t.to(at::kFloat);
    return v;
  };
  const auto run = kernel(memory::network_linear, {});
  const at::Tensor reads = run(single(x))[0];
  REQUIRE(relative_error(reads, kernel(memory::network_reference, {})(x)[0]) < kSingle);
  auto later = single(x), other = single(x);
  for (int i = 0; i < 3; ++i) {
    later[i].narrow(1, 97, 53).normal_();
    other[i][2].normal_();
  }
  REQUIRE(at::equal(run(later)[0].narrow(1, 0, 97), reads.narrow(1, 0, 97)));
  REQUIRE(at::equal(run(other)[0].narrow(0, 0, 2), reads.narrow(0, 0, 2)));
}
