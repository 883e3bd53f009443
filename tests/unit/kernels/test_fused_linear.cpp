// The fused linear memory against a token loop written here: reads, states, every gradient, on each instruction set.
#include "kernels/linear.h"
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
    const at::Tensor k = x[1].narrow(1, t, 1), surprise = at::bmm(k.transpose(1, 2), 2 * (at::bmm(k, R) - x[2].narrow(1, t, 1)));
    const at::Tensor step = -column(x[3], t) * surprise;
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

Tensors linear_kernel(const Tensors& x, const LinearCase& c) {
  kernels::LinearCall call{single(x[0]), single(x[1]), single(x[2]), single(x[3]), single(x[4]), {}, c.refresh, c.position};
  kernels::LinearState s{single(x[6]), {}, single(x[8])};
  if (c.momentum) call.eta = single(x[5]), s.momentum = single(x[7]);
  Tensors out{kernels::linear(call, s), s.weights};
  if (c.momentum) out.push_back(s.momentum);
  if (c.refresh > 1) out.push_back(s.refresh_point);
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

TEST_CASE("fused linear memory takes [B,H,T,D] views without copies and gives the same bits", "[memory][fused]") {
  torch::manual_seed(5);
  const int64_t B = 2, H = 3, T = 70, D = 20;
  const at::Tensor packed = normal({B, T, 3, H, D}, at::kFloat);
  auto view = [&](int i) { return packed.select(2, i).transpose(1, 2); };
  auto gate = [&] { return uniform({B, H, T}, 0, .05, at::kFloat); };
  kernels::LinearCall strided{view(0), view(1), view(2), gate(), gate(), gate()}, dense = strided;
  for (at::Tensor* t : {&dense.query, &dense.key, &dense.value}) *t = t->reshape({B * H, T, D});
  kernels::LinearState a{normal({B * H, D, D}, at::kFloat), at::zeros({B * H, D, D}), {}}, b = a;
  REQUIRE(at::equal(kernels::linear(strided, a).reshape({B * H, T, D}), kernels::linear(dense, b)));
  REQUIRE(at::equal(a.weights, b.weights));
}

TEST_CASE("fused linear memory: an empty call reads nothing and changes nothing", "[memory][fused]") {
  torch::manual_seed(8);
  const Tensors y = linear_inputs(2, 3, 6, 9);
  auto none = [&](int i) { return single(y[i].narrow(1, 0, 0)); };
  kernels::LinearCall call{none(0), none(1), none(2), none(3), none(4), none(5), 64, 5};
  kernels::LinearState linear{single(y[6]), single(y[7]), single(y[8])};
  REQUIRE(kernels::linear(call, linear).sizes() == at::IntArrayRef({2, 0, 9}));
  REQUIRE(at::equal(linear.weights, single(y[6])));
  REQUIRE(at::equal(linear.momentum, single(y[7])));
  REQUIRE(at::equal(linear.refresh_point, single(y[8])));
}

