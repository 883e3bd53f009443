// The fused MLP memory, form feature, against a token loop written here: reads, states, every gradient, on each instruction set.
#include "tests/unit/kernels/fused_cases.h"

using namespace mneme;
using namespace mneme::test;

namespace {

struct MlpCase {
  int64_t T, refresh, position = 0;
  bool momentum = true, to_initial = true, exact_last = true, clip = true;
  int64_t sweeps = 0;
  double guard = 0, factor = 2;
};

// q k v, θ×2 α×2 η×2, W×2 S×2 R×2 initial×2. Steps are small enough for the recurrence to be stable.
Tensors mlp_inputs(int64_t N, int64_t T, int64_t D, int64_t E) {
  Tensors x{unit_rows(normal({N, T, D})), unit_rows(normal({N, T, D})), normal({N, T, D})};
  for (double high : {.02, .02, .3, .3, .6, .6}) x.push_back(uniform({N, T}, 0, high));
  for (double scale : {1.0, .1, 1.0, 1.0}) {
    x.push_back(normal({N, D, E}) * scale);
    x.push_back(normal({N, E, D}) * scale * .3);
  }
  return x;
}

struct Features {
  at::Tensor pre, scale, unit;
};
Features features(const at::Tensor& pre) {
  const at::Tensor s = at::gelu(pre), scale = (s * s).sum(-1, true).add(1e-6).rsqrt();
  return {pre, scale, s * scale};
}

// The definition, token by token. Sweep n has weights of its own, and sees the lower ones as sweep n − 1 made them.
Tensors mlp_loop(const Tensors& x, const MlpCase& c) {
  using Layers = std::array<at::Tensor, 2>;
  std::vector<Layers> all_W(c.sweeps + 1, Layers{x[9], x[10]}), all_S(c.sweeps + 1, Layers{x[11], x[12]});
  Layers R{x[13], x[14]};
  std::array<at::Tensor, 2> load;
  Tensors reads;
  auto refresh = [&] {
    R = all_W.back();
    for (Layers& W : all_W) W = all_W.back();
    for (Layers& S : all_S) S = all_S.back();
    load = {};
  };
  auto step = [&](int64_t t, int64_t sweep) {
    Layers &W = all_W[sweep], &S = all_S[sweep];
    const at::Tensor k = x[1].narrow(1, t, 1), v = x[2].narrow(1, t, 1), last = c.exact_last ? W[1] : R[1];
    const Features f = features(at::bmm(k, sweep ? all_W[sweep - 1][0] : R[0]));
    const at::Tensor delta_2 = c.factor * (k + at::bmm(f.unit, last) - v), g = at::bmm(delta_2, last.transpose(1, 2));
    at::Tensor delta_1 = at::gelu_backward((g - f.unit * (f.unit * g).sum(-1, true)) * f.scale, f.pre);
    if (c.clip) delta_1 = delta_1 * (delta_1 * delta_1).sum(-1, true).add(1e-12).rsqrt().clamp_max(1);
    const std::array<at::Tensor, 2> gradient{at::bmm(k.transpose(1, 2), delta_1), at::bmm(f.unit.transpose(1, 2), delta_2)};
    for (int l = 0; l < 2; ++l) {
      at::Tensor theta = column(x[3 + l], t);
      if (c.guard > 0) theta = guarded(load[l], l ? f.unit : k, theta, c.momentum ? column(x[7 + l], t) : at::Tensor(), c.factor / 2, c.guard);
      const at::Tensor move = -theta * gradient[l], forget = column(x[5 + l], t);
      S[l] = c.momentum ? column(x[7 + l], t) * S[l] + move : move;
      W[l] = (1 - forget) * W[l] + S[l];
      if (c.to_initial) W[l] = W[l] + forget * x[15 + l];
    }
  };
  for (int64_t t = 0; t < c.T; ++t) {
    if ((c.position + t) % c.refresh == 0) refresh();
    for (int64_t sweep = c.sweeps; sweep >= 0; --sweep) step(t, sweep);  // the last first: it sees what was before the token
    const at::Tensor q = x[0].narrow(1, t, 1);
    reads.push_back(q + at::bmm(features(at::bmm(q, all_W.back()[0])).unit, all_W.back()[1]));
  }
  if ((c.position + c.T) % c.refresh == 0) refresh();
  const Layers &W = all_W.back(), &S = all_S.back();
  Tensors out{at::cat(reads, 1), W[0], W[1], R[0]};
  if (!c.exact_last) out.push_back(R[1]);
  if (c.momentum) out.insert(out.end(), {S[0], S[1]});
  return out;
}

kernels::NetworkCall mlp_call(const Tensors& x, const MlpCase& c, int64_t first, int64_t steps) {
  auto part = [&](int i) { return x[i].narrow(1, first, steps); };
  kernels::NetworkCall call{one_head(part(0)), one_head(part(1)), one_head(part(2)), gates({part(3), part(4)}), gates({part(5), part(6)})};
  call.exact_last = c.exact_last, call.clip = c.clip, call.refresh = c.refresh, call.position = c.position + first;
  call.sweeps = c.sweeps, call.guard_limit = c.guard, call.factor = c.factor;
  if (c.momentum) call.eta = gates({part(7), part(8)});
  if (c.to_initial) call.initial = one_head(Tensors{x[15], x[16]});
  return call;
}

kernels::NetworkState mlp_state(const Tensors& x, const MlpCase& c) {
  kernels::NetworkState state{one_head(Tensors{x[9], x[10]}), {}, {one_head(x[13])}};
  if (!c.exact_last) state.refresh_point.push_back(one_head(x[14]));
  if (c.momentum) state.momentum = one_head(Tensors{x[11], x[12]});
  return state;
}

Tensors mlp_kernel(const Tensors& x, const MlpCase& c) {
  kernels::NetworkState s = mlp_state(x, c);
  Tensors out{kernels::network(mlp_call(x, c, 0, c.T), s), s.weights[0], s.weights[1]};
  out.insert(out.end(), s.refresh_point.begin(), s.refresh_point.end());
  out.insert(out.end(), s.momentum.begin(), s.momentum.end());
  for (at::Tensor& y : out) y = y.squeeze(1);
  return out;
}

void require_same_mlp(const MlpCase& c, int64_t D, int64_t E) {
  INFO("T " << c.T << " D " << D << " E " << E << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum
            << " to initial " << c.to_initial << " exact last " << c.exact_last << " sweeps " << c.sweeps << " guard " << c.guard << " engine " << kernels::engine().name);
  require_same([&](const Tensors& x) { return mlp_kernel(x, c); }, [&](const Tensors& x) { return mlp_loop(x, c); },
               mlp_inputs(2, c.T, D, E), kSingle, kSingle);
}

}  // namespace

TEST_CASE("fused MLP memory equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(1);
  const Poisoned poisoned;
  for (bool exact_last : {false, true})
    for (bool momentum : {false, true})
      for (bool to_initial : {false, true}) {
        require_same_mlp({100, 64, 0, momentum, to_initial, exact_last}, 20, 40);
        require_same_mlp({90, 100, 30, momentum, to_initial, exact_last}, 6, 9);
      }
  for (bool exact_last : {false, true}) {
    for (int64_t T : {1, 2, 15, 16, 17, 64}) require_same_mlp({T, 16, 5, true, true, exact_last}, 16, 32);
    require_same_mlp({70, 64, 0, true, true, exact_last, false}, 64, 128);
  }
}

TEST_CASE("fused sweeps equal the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(9);
  const Poisoned poisoned;
  for (int64_t sweeps : {1, 2, 3})
    for (bool momentum : {false, true})
      for (bool to_initial : {false, true}) require_same_mlp({60, 20, 40, momentum, to_initial, true, true, sweeps}, 20, 36);
  require_same_mlp({128, 64, 0, true, true, true, true, 2}, 64, 128);
  require_same_mlp({3, 1, 0, true, true, true, true, 1}, 6, 9);
  require_same_mlp({48, 16, 0, true, true, true, true, 2, 0, .5}, 16, 32);
  require_same_mlp({24, 8, 0, true, false, true, false, 1}, 16, 32);
}

TEST_CASE("the fused guard equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(10);
  const Poisoned poisoned;
  for (bool momentum : {false, true})
    for (double limit : {.02, 10.0}) {  // some steps are shortened and some not taken; none
      const MlpCase c{60, 20, 40, momentum, true, false, true, 0, limit};
      require_same_mlp(c, 20, 36);
      require_same_mlp({64, 64, 0, momentum, false, false, false, 0, limit}, 16, 32);
      MlpCase free = c;
      free.guard = 0;
      const Tensors x = mlp_inputs(2, c.T, 20, 36);
      REQUIRE((relative_error(mlp_kernel(x, c)[0], mlp_kernel(x, free)[0]) < kSingle) == (limit > 1));
    }
}

TEST_CASE("fused MLP memory: every instruction set gives the same results", "[memory][fused]") {
  torch::manual_seed(3);
  const Poisoned poisoned;
  on_every_engine([] {
    require_same_mlp({75, 64, 10}, 20, 40);
    require_same_mlp({75, 64, 10, true, false, false}, 12, 50);
    require_same_mlp({72, 24, 24, true, true, true, true, 2}, 12, 50);
    require_same_mlp({72, 24, 24, true, true, false, true, 0, .02}, 12, 50);
  });
  REQUIRE_FALSE(kernels::use_engine("abacus"));
}

TEST_CASE("fused MLP memory: any split equals one call; causal, row-independent and repeatable bit by bit", "[memory][fused]") {
  torch::manual_seed(4);
  const MlpCase c{150, 24};
  const Tensors x = mlp_inputs(3, c.T, 12, 20);
  kernels::NetworkState one = mlp_state(x, c), many = one, again = one;
  const at::Tensor whole = kernels::network(mlp_call(x, c, 0, c.T), one);
  Tensors reads;
  int64_t first = 0;
  for (int64_t next : {1, 2, 20, 24, 49, 143, 150}) {
    reads.push_back(kernels::network(mlp_call(x, c, first, next - first), many));
    first = next;
  }
  REQUIRE(relative_error(at::cat(reads, 2), whole) < kSingle);
  for (int l = 0; l < 2; ++l) {
    REQUIRE(relative_error(many.weights[l], one.weights[l]) < kSingle);
    REQUIRE(relative_error(many.momentum[l], one.momentum[l]) < kSingle);
  }
  REQUIRE(at::equal(kernels::network(mlp_call(x, c, 0, c.T), again), whole));
  Tensors later = x, other = x;
  for (int i = 0; i < 3; ++i) {
    later[i] = x[i].clone(), later[i].narrow(1, 91, 59).normal_();
    other[i] = x[i].clone(), other[i][2].normal_();
  }
  kernels::NetworkState a = mlp_state(x, c), b = a;
  REQUIRE(at::equal(kernels::network(mlp_call(later, c, 0, c.T), a).narrow(2, 0, 91), whole.narrow(2, 0, 91)));
  REQUIRE(at::equal(kernels::network(mlp_call(other, c, 0, c.T), b).narrow(0, 0, 2), whole.narrow(0, 0, 2)));
  Tensors fewer;
  for (const at::Tensor& t : x) fewer.push_back(t.narrow(0, 0, 1));
  kernels::NetworkState alone = mlp_state(fewer, c);
  REQUIRE(at::equal(kernels::network(mlp_call(fewer, c, 0, c.T), alone), whole.narrow(0, 0, 1)));
}

TEST_CASE("fused MLP memory gives the same bits whether states are kept for a backward pass or not", "[memory][fused]") {
  torch::manual_seed(6);
  const Poisoned poisoned;
  for (int64_t refresh : {16, 64, 100}) {
    for (bool exact_last : {false, true})
      for (bool to_initial : {false, true})
        require_same_bits(mlp_kernel, mlp_inputs(2, 150, 20, 40), MlpCase{150, refresh, 7, true, to_initial, exact_last});
    if (refresh <= 64)
      require_same_bits(mlp_kernel, mlp_inputs(2, 128, 20, 40), MlpCase{128, refresh, 0, true, true, true, true, 2});
  }
}

TEST_CASE("fused MLP memory: an empty call reads nothing and changes nothing", "[memory][fused]") {
  torch::manual_seed(8);
  const MlpCase c{3, 64, 5};
  const Tensors x = mlp_inputs(2, c.T, 6, 9);
  kernels::NetworkState mlp = mlp_state(x, c);
  const kernels::NetworkState before = mlp;
  REQUIRE(kernels::network(mlp_call(x, c, 0, 0), mlp).sizes() == at::IntArrayRef({2, 1, 0, 6}));
  for (int l = 0; l < 2; ++l) {
    REQUIRE(at::equal(mlp.weights[l], before.weights[l]));
    REQUIRE(at::equal(mlp.momentum[l], before.momentum[l]));
  }
  REQUIRE(at::equal(mlp.refresh_point[0], before.refresh_point[0]));
}

TEST_CASE("fused MLP memory names what does not fit", "[memory][fused]") {
  const MlpCase c{20, 64};
  const Tensors x = mlp_inputs(2, c.T, 6, 9);
  kernels::NetworkState state = mlp_state(x, c);
  kernels::NetworkCall call = mlp_call(x, c, 0, c.T);
  call.value = call.value.narrow(3, 0, 5);
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("value has sizes [2,1,20,5], should have [2,1,20,6]"));
  call = mlp_call(x, c, 0, c.T);
  call.theta = call.theta.narrow(2, 0, 19);
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("theta has sizes [2,1,19,2], should have [2,1,20,2]"));
  call = mlp_call(x, c, 0, c.T);
  state.momentum[1] = state.momentum[0];
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("momentum of layer 2"));
  state = mlp_state(x, c);
  call = mlp_call(x, c, 0, c.T);
  call.sweeps = 1;
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("whole refresh intervals"));
  call.sweeps = 0, call.guard_limit = .4;
  REQUIRE_THROWS_WITH(kernels::network(call, state), Catch::Contains("gradients at the refresh point"));
  call = mlp_call(x, c, 0, c.T);
  state.weights[0] = state.weights[0].to(at::kDouble);
  REQUIRE_FALSE(kernels::supports(call, state));
  REQUIRE_THROWS_AS(kernels::network(call, state), ConfigError);
}
