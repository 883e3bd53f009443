// The fused kernels against token loops written here: results, states, every gradient, on each instruction set.
#include "memory/kernels/fused/engine.h"
#include "memory/kernels/fused/linear.h"
#include "memory/kernels/fused/mlp.h"
#include "mneme/errors.h"
#include "tests/support/poisoned.h"
#include "tests/support/tensors.h"

using namespace mneme;
using namespace mneme::test;
namespace fused = mneme::memory::fused;
using Tensors = std::vector<at::Tensor>;

namespace {

at::Tensor unit_rows(const at::Tensor& x) { return x / x.norm(2, -1, true); }
at::Tensor column(const at::Tensor& x, int64_t t) { return x.narrow(1, t, 1).unsqueeze(2); }
at::Tensor single(const at::Tensor& x) { return x.to(at::kFloat); }

struct Case {
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

// A step as the guard leaves it; `load`, undefined at a refresh point, is Σ θ' AᵀA of what the interval has wanted to write.
at::Tensor guarded(at::Tensor& load, const at::Tensor& A, const at::Tensor& theta, const at::Tensor& eta, double curvature, double limit) {
  const at::Tensor wanted = curvature * (eta.defined() ? theta / (1 - eta) : theta), At = A.transpose(1, 2), square = at::bmm(A, At);
  const at::Tensor before = load.defined() ? at::bmm(at::bmm(A, load), At) / square : at::zeros_like(square);
  const at::Tensor more = wanted * at::bmm(At, A);
  load = load.defined() ? load + more : more;
  return theta * ((limit - before).clamp_min(0) / (wanted * square)).clamp_max(1);
}

struct Features {
  at::Tensor pre, scale, unit;
};
Features features(const at::Tensor& pre) {
  const at::Tensor s = at::gelu(pre), scale = (s * s).sum(-1, true).add(1e-6).rsqrt();
  return {pre, scale, s * scale};
}

// The definition, token by token. Sweep n has weights of its own, and sees the lower ones as sweep n − 1 made them.
Tensors mlp_loop(const Tensors& x, const Case& c) {
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
    const std::array<at::Tensor, 2> surprise{at::bmm(k.transpose(1, 2), delta_1), at::bmm(f.unit.transpose(1, 2), delta_2)};
    for (int l = 0; l < 2; ++l) {
      at::Tensor theta = column(x[3 + l], t);
      if (c.guard > 0) theta = guarded(load[l], l ? f.unit : k, theta, c.momentum ? column(x[7 + l], t) : at::Tensor(), c.factor / 2, c.guard);
      const at::Tensor move = -theta * surprise[l], forget = column(x[5 + l], t);
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

fused::MlpCall mlp_call(const Tensors& x, const Case& c, int64_t first, int64_t steps) {
  auto part = [&](int i) { return single(x[i].narrow(1, first, steps)); };
  fused::MlpCall call{part(0), part(1),      part(2), {part(3), part(4)}, {part(5), part(6)}, {},
                      {},      c.exact_last, c.clip,  c.refresh,          c.position + first};
  call.sweeps = c.sweeps, call.guard_limit = c.guard, call.factor = c.factor;
  if (c.momentum) call.eta = {part(7), part(8)};
  if (c.to_initial) call.initial = {single(x[15]), single(x[16])};
  return call;
}

fused::MlpState mlp_state(const Tensors& x, const Case& c) {
  fused::MlpState state{{single(x[9]), single(x[10])}, {}, {single(x[13]), c.exact_last ? at::Tensor() : single(x[14])}};
  if (c.momentum) state.momentum = {single(x[11]), single(x[12])};
  return state;
}

Tensors mlp_kernel(const Tensors& x, const Case& c) {
  fused::MlpState s = mlp_state(x, c);
  Tensors out{fused::mlp(mlp_call(x, c, 0, c.T), s), s.weights[0], s.weights[1], s.refresh_point[0]};
  if (!c.exact_last) out.push_back(s.refresh_point[1]);
  if (c.momentum) out.insert(out.end(), {s.momentum[0], s.momentum[1]});
  return out;
}

struct NormCase {
  int64_t T, refresh, position = 0;
  bool momentum = true, to_initial = false, fast_gain = true;
  double factor = 2, guard = 0;
};

// q k v, then per layer (matrices, gain) θ α η, W S R initial; a slow gain is the third R.
Tensors norm_inputs(int64_t N, int64_t T, int64_t D, int64_t E) {
  Tensors x{normal({N, T, D}), normal({N, T, D}), normal({N, T, D})};
  for (double high : {.002, .3, .6})
    for (int l = 0; l < 3; ++l) x.push_back(uniform({N, T}, 0, high));
  for (double scale : {.3, .1, .3, .3})
    for (const auto& [in, out] : {std::pair{D, E}, {E, D}, {int64_t(1), D}}) x.push_back(normal({N, in, out}) * scale);
  return x;
}

// The definition, token by token; inner gradients by autograd.
Tensors norm_loop(const Tensors& x, const NormCase& c) {
  const int layers = c.fast_gain ? 3 : 2;
  std::array<at::Tensor, 3> W{x[12], x[13], x[14]}, S{x[15], x[16], x[17]}, R{x[18], x[19], x[20]};
  const int64_t D = x[0].size(2);
  auto network = [&](const at::Tensor& z, const std::array<at::Tensor, 3>& w) {
    const at::Tensor gain = c.fast_gain ? w[2] : x[20];
    return z + at::layer_norm(at::bmm(at::gelu(at::bmm(z, w[0])), w[1]), {D}) * (1 + gain);
  };
  std::array<at::Tensor, 2> load;
  Tensors reads;
  for (int64_t t = 0; t < c.T; ++t) {
    if ((c.position + t) % c.refresh == 0) R = W, load = {};
    const at::Tensor k = x[1].narrow(1, t, 1), loss = (network(k, R) - x[2].narrow(1, t, 1)).square().sum() * (c.factor / 2);
    const Tensors surprise = torch::autograd::grad({loss}, {R.begin(), R.begin() + layers}, {}, true, true);
    for (int l = 0; l < layers; ++l) {
      at::Tensor theta = column(x[3 + l], t);
      if (c.guard > 0 && l < 2)
        theta = guarded(load[l], l ? at::gelu(at::bmm(x[1].narrow(1, t, 1), R[0])) : x[1].narrow(1, t, 1), theta,
                        c.momentum ? column(x[9 + l], t) : at::Tensor(), c.factor / 2, c.guard);
      const at::Tensor step = -theta * surprise[l], forget = column(x[6 + l], t);
      S[l] = c.momentum ? column(x[9 + l], t) * S[l] + step : step;
      W[l] = (1 - forget) * W[l] + S[l];
      if (c.to_initial) W[l] = W[l] + forget * x[21 + l];
    }
    reads.push_back(network(x[0].narrow(1, t, 1), W));
  }
  if ((c.position + c.T) % c.refresh == 0) R = W;
  Tensors out{at::cat(reads, 1)};
  for (int l = 0; l < layers; ++l) {
    out.insert(out.end(), {W[l], R[l]});
    if (c.momentum) out.push_back(S[l]);
  }
  return out;
}

Tensors norm_kernel(const Tensors& x, const NormCase& c) {
  const int layers = c.fast_gain ? 3 : 2;
  fused::MlpCall call{single(x[0]), single(x[1]), single(x[2]), {},        {},         {},
                      {},           false,        false,        c.refresh, c.position, fused::Form::residual_norm};
  fused::MlpState s;
  for (int l = 0; l < layers; ++l) {
    call.theta[l] = single(x[3 + l]), call.alpha[l] = single(x[6 + l]);
    s.weights[l] = single(x[12 + l]), s.refresh_point[l] = single(x[18 + l]);
    if (c.momentum) call.eta[l] = single(x[9 + l]), s.momentum[l] = single(x[15 + l]);
    if (c.to_initial) call.initial[l] = single(x[21 + l]);
  }
  if (!c.fast_gain) call.gain = single(x[20]);
  call.factor = c.factor, call.guard_limit = c.guard;
  Tensors out{fused::mlp(call, s)};
  for (int l = 0; l < layers; ++l) {
    out.insert(out.end(), {s.weights[l], s.refresh_point[l]});
    if (c.momentum) out.push_back(s.momentum[l]);
  }
  return out;
}

// q k [N,T,E], v [N,T,D], θ α η, W S R
Tensors linear_inputs(int64_t N, int64_t T, int64_t E, int64_t D) {
  Tensors x{unit_rows(normal({N, T, E})), unit_rows(normal({N, T, E})), normal({N, T, D})};
  for (double high : {.05, .3, .6}) x.push_back(uniform({N, T}, 0, high));
  for (double scale : {1.0, .1, 1.0}) x.push_back(normal({N, E, D}) * scale);
  return x;
}

Tensors linear_loop(const Tensors& x, const Case& c) {
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

Tensors linear_kernel(const Tensors& x, const Case& c) {
  fused::LinearCall call{single(x[0]), single(x[1]), single(x[2]), single(x[3]), single(x[4]), {}, c.refresh, c.position};
  fused::LinearState s{single(x[6]), {}, single(x[8])};
  if (c.momentum) call.eta = single(x[5]), s.momentum = single(x[7]);
  Tensors out{fused::linear(call, s), s.weights};
  if (c.momentum) out.push_back(s.momentum);
  if (c.refresh > 1) out.push_back(s.refresh_point);
  return out;
}

void require_same_mlp(const Case& c, int64_t D, int64_t E) {
  INFO("T " << c.T << " D " << D << " E " << E << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum
            << " to initial " << c.to_initial << " exact last " << c.exact_last << " sweeps " << c.sweeps << " guard " << c.guard << " engine " << fused::engine().name);
  require_same([&](const Tensors& x) { return mlp_kernel(x, c); }, [&](const Tensors& x) { return mlp_loop(x, c); },
               mlp_inputs(2, c.T, D, E), kSingle, kSingle);
}

void require_same_linear(const Case& c, int64_t E, int64_t D) {
  INFO("T " << c.T << " E " << E << " D " << D << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum
            << " engine " << fused::engine().name);
  require_same([&](const Tensors& x) { return linear_kernel(x, c); }, [&](const Tensors& x) { return linear_loop(x, c); },
               linear_inputs(2, c.T, E, D), kSingle, kSingle);
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
      const Case c{60, 20, 40, momentum, true, false, true, 0, limit};
      require_same_mlp(c, 20, 36);
      require_same_mlp({64, 64, 0, momentum, false, false, false, 0, limit}, 16, 32);
      Case free = c;
      free.guard = 0;
      const Tensors x = mlp_inputs(2, c.T, 20, 36);
      REQUIRE((relative_error(mlp_kernel(x, c)[0], mlp_kernel(x, free)[0]) < kSingle) == (limit > 1));
    }
  for (const NormCase& c : {NormCase{60, 20, 40, true, false, true, 2, .02}, NormCase{64, 32, 0, false, true, false, 2.0 / 20, .002}}) {
    INFO("residual+norm, refresh " << c.refresh);
    const Tensors x = norm_inputs(2, c.T, 20, 36);
    require_same([&](const Tensors& y) { return norm_kernel(y, c); }, [&](const Tensors& y) { return norm_loop(y, c); }, x, kSingle, kSingle);
    NormCase free = c;
    free.guard = 0;
    REQUIRE(relative_error(norm_kernel(x, c)[0], norm_kernel(x, free)[0]) > kSingle);
  }
}

TEST_CASE("fused linear memory equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(2);
  const Poisoned poisoned;
  for (bool momentum : {false, true})
    for (int64_t refresh : {1, 16, 64, 100}) {
      for (int64_t T : {1, 17, 64, 130}) require_same_linear({T, refresh, 0, momentum}, 20, 9);
      require_same_linear({100, refresh, 37, momentum}, 64, 64);
    }
}

TEST_CASE("fused MLP memory, residual+norm: equals the token loop with autograd's inner gradients", "[memory][fused]") {
  torch::manual_seed(7);
  const Poisoned poisoned;
  for (const NormCase& c : {NormCase{70, 64}, NormCase{70, 64, 0, false}, NormCase{40, 16, 5, true, true},
                            NormCase{70, 64, 10, true, false, false}, NormCase{33, 100, 90, true, true, false, 2.0 / 20}}) {
    INFO("T " << c.T << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum << " to initial "
              << c.to_initial << " fast gain " << c.fast_gain);
    require_same([&](const Tensors& x) { return norm_kernel(x, c); }, [&](const Tensors& x) { return norm_loop(x, c); },
                 norm_inputs(2, c.T, 20, 36), kSingle, kSingle);
  }
}

TEST_CASE("every instruction set gives the same results", "[memory][fused]") {
  torch::manual_seed(3);
  const Poisoned poisoned;
  for (const char* name : {"generic", "avx2", "avx512"}) {
    if (!fused::use_engine(name)) continue;
    REQUIRE(std::string(fused::engine().name) == name);
    require_same_mlp({75, 64, 10}, 20, 40);
    require_same_mlp({75, 64, 10, true, false, false}, 12, 50);
    require_same_mlp({72, 24, 24, true, true, true, true, 2}, 12, 50);
    require_same_mlp({72, 24, 24, true, true, false, true, 0, .02}, 12, 50);
    require_same_linear({75, 1}, 20, 36);
  }
  REQUIRE_FALSE(fused::use_engine("abacus"));
}

TEST_CASE("fused MLP memory: any split equals one call; causal, row-independent and repeatable bit by bit", "[memory][fused]") {
  torch::manual_seed(4);
  const Case c{150, 24};
  const Tensors x = mlp_inputs(3, c.T, 12, 20);
  fused::MlpState one = mlp_state(x, c), many = one, again = one;
  const at::Tensor whole = fused::mlp(mlp_call(x, c, 0, c.T), one);
  Tensors reads;
  int64_t first = 0;
  for (int64_t next : {1, 2, 20, 24, 49, 143, 150}) {
    reads.push_back(fused::mlp(mlp_call(x, c, first, next - first), many));
    first = next;
  }
  REQUIRE(relative_error(at::cat(reads, 1), whole) < kSingle);
  for (int l = 0; l < 2; ++l) {
    REQUIRE(relative_error(many.weights[l], one.weights[l]) < kSingle);
    REQUIRE(relative_error(many.momentum[l], one.momentum[l]) < kSingle);
  }
  REQUIRE(at::equal(fused::mlp(mlp_call(x, c, 0, c.T), again), whole));
  Tensors later = x, other = x;
  for (int i = 0; i < 3; ++i) {
    later[i] = x[i].clone(), later[i].narrow(1, 91, 59).normal_();
    other[i] = x[i].clone(), other[i][2].normal_();
  }
  fused::MlpState a = mlp_state(x, c), b = a;
  REQUIRE(at::equal(fused::mlp(mlp_call(later, c, 0, c.T), a).narrow(1, 0, 91), whole.narrow(1, 0, 91)));
  REQUIRE(at::equal(fused::mlp(mlp_call(other, c, 0, c.T), b).narrow(0, 0, 2), whole.narrow(0, 0, 2)));
  Tensors fewer;
  for (const at::Tensor& t : x) fewer.push_back(t.narrow(0, 0, 1));
  fused::MlpState alone = mlp_state(fewer, c);
  REQUIRE(at::equal(fused::mlp(mlp_call(fewer, c, 0, c.T), alone), whole.narrow(0, 0, 1)));
}

TEST_CASE("fused kernels give the same bits whether states are kept for a backward pass or not", "[memory][fused]") {
  torch::manual_seed(6);
  const Poisoned poisoned;
  auto require_same_bits = [](const auto& kernel, Tensors x, const auto& c) {
    const Tensors plain = kernel(x, c);
    for (at::Tensor& t : x) t.requires_grad_();
    const Tensors kept = kernel(x, c);
    for (size_t i = 0; i < plain.size(); ++i) REQUIRE(at::equal(kept[i], plain[i]));
  };
  for (int64_t refresh : {16, 64, 100}) {
    for (bool exact_last : {false, true})
      for (bool to_initial : {false, true})
        require_same_bits(mlp_kernel, mlp_inputs(2, 150, 20, 40), Case{150, refresh, 7, true, to_initial, exact_last});
    if (refresh <= 64)
      require_same_bits(mlp_kernel, mlp_inputs(2, 128, 20, 40), Case{128, refresh, 0, true, true, true, true, 2});
    require_same_bits(norm_kernel, norm_inputs(2, 150, 20, 36), NormCase{150, refresh, 7});
    require_same_bits(linear_kernel, linear_inputs(2, 150, 20, 9), Case{150, refresh, 7});
  }
}

TEST_CASE("fused kernels take [B,H,T,D] views without copies and give the same bits", "[memory][fused]") {
  torch::manual_seed(5);
  const int64_t B = 2, H = 3, T = 70, D = 20;
  const at::Tensor packed = normal({B, T, 3, H, D}, at::kFloat);
  auto view = [&](int i) { return packed.select(2, i).transpose(1, 2); };
  auto gate = [&] { return uniform({B, H, T}, 0, .05, at::kFloat); };
  fused::LinearCall strided{view(0), view(1), view(2), gate(), gate(), gate()}, dense = strided;
  for (at::Tensor* t : {&dense.query, &dense.key, &dense.value}) *t = t->reshape({B * H, T, D});
  fused::LinearState a{normal({B * H, D, D}, at::kFloat), at::zeros({B * H, D, D}), {}}, b = a;
  REQUIRE(at::equal(fused::linear(strided, a).reshape({B * H, T, D}), fused::linear(dense, b)));
  REQUIRE(at::equal(a.weights, b.weights));
}

TEST_CASE("fused kernels: an empty call reads nothing and changes nothing", "[memory][fused]") {
  torch::manual_seed(8);
  const Case c{3, 64, 5};
  const Tensors x = mlp_inputs(2, c.T, 6, 9), y = linear_inputs(2, c.T, 6, 9);
  fused::MlpState mlp = mlp_state(x, c);
  const fused::MlpState before = mlp;
  REQUIRE(fused::mlp(mlp_call(x, c, 0, 0), mlp).sizes() == at::IntArrayRef({2, 0, 6}));
  for (int l = 0; l < 2; ++l) {
    REQUIRE(at::equal(mlp.weights[l], before.weights[l]));
    REQUIRE(at::equal(mlp.momentum[l], before.momentum[l]));
  }
  REQUIRE(at::equal(mlp.refresh_point[0], before.refresh_point[0]));
  auto none = [&](int i) { return single(y[i].narrow(1, 0, 0)); };
  fused::LinearCall call{none(0), none(1), none(2), none(3), none(4), none(5), 64, 5};
  fused::LinearState linear{single(y[6]), single(y[7]), single(y[8])};
  REQUIRE(fused::linear(call, linear).sizes() == at::IntArrayRef({2, 0, 9}));
  REQUIRE(at::equal(linear.weights, single(y[6])));
  REQUIRE(at::equal(linear.momentum, single(y[7])));
  REQUIRE(at::equal(linear.refresh_point, single(y[8])));
}

TEST_CASE("fused kernels name what does not fit", "[memory][fused]") {
  const Case c{20, 64};
  const Tensors x = mlp_inputs(2, c.T, 6, 9);
  fused::MlpState state = mlp_state(x, c);
  fused::MlpCall call = mlp_call(x, c, 0, c.T);
  call.value = call.value.narrow(2, 0, 5);
  REQUIRE_THROWS_WITH(fused::mlp(call, state), Catch::Contains("value has sizes [2,1,20,5], should have [2,1,20,6]"));
  call = mlp_call(x, c, 0, c.T);
  call.theta[1] = call.theta[1].narrow(1, 0, 19);
  REQUIRE_THROWS_WITH(fused::mlp(call, state), Catch::Contains("theta of layer 2"));
  call = mlp_call(x, c, 0, c.T);
  call.sweeps = 1;
  REQUIRE_THROWS_WITH(fused::mlp(call, state), Catch::Contains("whole refresh intervals"));
  call.sweeps = 0, call.guard_limit = .4;
  REQUIRE_THROWS_WITH(fused::mlp(call, state), Catch::Contains("gradients at the refresh point"));
  call = mlp_call(x, c, 0, c.T);
  state.weights[0] = state.weights[0].to(at::kDouble);
  REQUIRE_FALSE(fused::supports(call, state));
  REQUIRE_THROWS_AS(fused::mlp(call, state), ConfigError);
}
