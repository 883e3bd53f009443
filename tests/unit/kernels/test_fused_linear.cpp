// The fused linear memory against a token loop written here: reads, states, every gradient, on each instruction set.
#include "tests/unit/kernels/fused_cases.h"

using namespace mneme;
using namespace mneme::test;

namespace {

struct LinearCase {
  int64_t T, refresh, position = 0;
  bool momentum = true;
};

// q k [N,T,E], v [N,T,D], θ α η, W S R
Tensors linear_inputs(int64_t N, int64_t T, int64_t E, int64_t D) {
  Tensors x{unit_rows(normal({N, T, E})), unit_rows(normal({N, T, E})), normal({N, T, D})};
  for (double high : {.05, .3, .6}) x.push_back(uniform({N, T}, 0, high));
  for (double scale : {1.0, .1, 1.0}) x.push_back(normal({N, E, D}) * scale);
  return x;
}

Tensors linear_loop(const Tensors& x, const LinearCase& c) {
  at::Tensor W = x[6], S = x[7], R = x[8];
  Tensors reads;
  for (int64_t t = 0; t < c.T; ++t) {
    if ((c.position + t) % c.refresh == 0) R = W;
    const at::Tensor k = x[1].narrow(1, t, 1), gradient = at::bmm(k.transpose(1, 2), 2 * (at::bmm(k, R) - x[2].narrow(1, t, 1)));
    const at::Tensor step = -column(x[3], t) * gradient;
    S = c.momentum ? column(x[5], t) * S + step : step;
    W = (1 - column(x[4], t)) * W + S;
    reads.push_back(at::bmm(x[0].narrow(1, t, 1), W));
  }
  if ((c.position + c.T) % c.refresh == 0) R = W;
  Tensors out{at::cat(reads, 1), W};
  if (c.momentum) out.push_back(S);
  if (c.refresh > 1) out.push_back(R);
  return out;
}

kernels::NetworkCall linear_call(const Tensors& x, const LinearCase& c, int64_t steps) {
  auto rows = [&](int i) { return one_head(x[i].narrow(1, 0, steps)); };
  auto gate = [&](int i) { return gates({x[i].narrow(1, 0, steps)}); };
  kernels::NetworkCall call{rows(0), rows(1), rows(2), gate(3), gate(4)};
  if (c.momentum) call.eta = gate(5);
  call.form = kernels::Form::linear, call.exact_last = false, call.refresh = c.refresh, call.position = c.position;
  return call;
}

kernels::NetworkState linear_state(const Tensors& x, const LinearCase& c) {
  return {{one_head(x[6])}, c.momentum ? Tensors{one_head(x[7])} : Tensors{}, {one_head(x[8])}};
}

Tensors linear_kernel(const Tensors& x, const LinearCase& c) {
  kernels::NetworkState s = linear_state(x, c);
  Tensors out{kernels::network(linear_call(x, c, c.T), s).squeeze(1), s.weights[0].squeeze(1)};
  if (c.momentum) out.push_back(s.momentum[0].squeeze(1));
  if (c.refresh > 1) out.push_back(s.refresh_point[0].squeeze(1));
  return out;
}

void require_same_linear(const LinearCase& c, int64_t E, int64_t D) {
  INFO("T " << c.T << " E " << E << " D " << D << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum
            << " engine " << kernels::engine().name);
  require_same([&](const Tensors& x) { return linear_kernel(x, c); }, [&](const Tensors& x) { return linear_loop(x, c); },
               linear_inputs(2, c.T, E, D), kSingle, kSingle);
}

}  // namespace

TEST_CASE("fused linear memory equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(2);
  const Poisoned poisoned;
  for (bool momentum : {false, true})
    for (int64_t refresh : {1, 16, 64, 100}) {
      for (int64_t T : {1, 17, 64, 130}) require_same_linear({T, refresh, 0, momentum}, 20, 9);
      require_same_linear({100, refresh, 37, momentum}, 64, 64);
    }
}

TEST_CASE("fused linear memory: exact is refresh 1, to the bit, and its point is the weights", "[memory][fused]") {
  torch::manual_seed(4);
  const LinearCase c{100, 1};
  const Tensors x = linear_inputs(2, c.T, 20, 9);
  kernels::NetworkState stale = linear_state(x, c), exact = stale;
  kernels::NetworkCall call = linear_call(x, c, c.T);
  const at::Tensor reads = kernels::network(call, stale);
  call.exact_last = true, call.refresh = 24;
  REQUIRE(at::equal(kernels::network(call, exact), reads));
  REQUIRE(at::equal(exact.weights[0], stale.weights[0]));
  REQUIRE(at::equal(stale.refresh_point[0], stale.weights[0]));
  REQUIRE(exact.refresh_point.empty());
}

TEST_CASE("fused linear memory: every instruction set gives the same results", "[memory][fused]") {
  torch::manual_seed(3);
  const Poisoned poisoned;
  on_every_engine([] { require_same_linear({75, 1}, 20, 36); });
}

TEST_CASE("fused linear memory gives the same bits whether states are kept for a backward pass or not", "[memory][fused]") {
  torch::manual_seed(6);
  const Poisoned poisoned;
  for (int64_t refresh : {16, 64, 100}) require_same_bits(linear_kernel, linear_inputs(2, 150, 20, 9), LinearCase{150, refresh, 7});
}

TEST_CASE("fused linear memory takes views without copies and gives the same bits", "[memory][fused]") {
  torch::manual_seed(5);
  const int64_t B = 2, H = 3, T = 70, D = 20;
  const at::Tensor packed = normal({B, T, 3, H, D}, at::kFloat);
  auto view = [&](int i) { return packed.select(2, i).transpose(1, 2); };
  auto gate = [&] { return uniform({B, T, H, 1}, 0, .05, at::kFloat).transpose(1, 2); };
  kernels::NetworkCall strided{view(0), view(1), view(2), gate(), gate(), gate()};
  strided.form = kernels::Form::linear;
  kernels::NetworkCall dense = strided;  // of B · H rows with one head
  for (at::Tensor* t : {&dense.query, &dense.key, &dense.value, &dense.theta, &dense.alpha, &dense.eta}) *t = t->reshape({B * H, 1, T, -1});
  const at::Tensor W = normal({B, H, D, D}, at::kFloat), flat = W.view({B * H, 1, D, D});
  kernels::NetworkState a{{W}, {at::zeros_like(W)}}, b{{flat}, {at::zeros_like(flat)}};
  REQUIRE(at::equal(kernels::network(strided, a).reshape({B * H, 1, T, D}), kernels::network(dense, b)));
  REQUIRE(at::equal(a.weights[0].view_as(flat), b.weights[0]));
}

TEST_CASE("fused linear memory: an empty call reads nothing and changes nothing", "[memory][fused]") {
  torch::manual_seed(8);
  const LinearCase c{0, 64, 5};
  const Tensors x = linear_inputs(2, 3, 6, 9);
  kernels::NetworkState state = linear_state(x, c);
  const kernels::NetworkState before = state;
  REQUIRE(kernels::network(linear_call(x, c, 0), state).sizes() == at::IntArrayRef({2, 1, 0, 9}));
  REQUIRE(at::equal(state.weights[0], before.weights[0]));
  REQUIRE(at::equal(state.momentum[0], before.momentum[0]));
  REQUIRE(at::equal(state.refresh_point[0], before.refresh_point[0]));
}

TEST_CASE("fused linear memory names what does not fit", "[memory][fused]") {
  const LinearCase c{20, 1};
  const Tensors x = linear_inputs(2, c.T, 6, 9);
  kernels::NetworkState state = linear_state(x, c);
  kernels::NetworkCall call = linear_call(x, c, c.T);
  call.initial = state.weights;
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("forgets towards zero"));
  call = linear_call(x, c, c.T), call.guard_limit = .4;
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("of two matrices"));
  call = linear_call(x, c, c.T), state.weights.push_back(state.weights[0]);
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("one matrix (linear)") && Catch::Contains("not 2"));
}
