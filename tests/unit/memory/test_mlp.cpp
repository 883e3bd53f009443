// The MLP memory: token loop against autograd of the inner loss, chunked form against the loop, splits.
#include "tests/support/tensors.h"

#include "memory/kernels/coefficients.h"
#include "memory/kernels/mlp.h"
#include "memory/kernels/unit_lower.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using memory::MlpCall;
using memory::MlpWeights;

namespace {

struct Case {
  bool exact_last;
  int64_t refresh = 64, position = 0, tile = 64;
  bool momentum = true, to_initial = true;
};

// q k v, θ×2 α×2 η×2, W×2 S×2 R×2 initial×2
std::vector<at::Tensor> random_inputs(int64_t N, int64_t T, int64_t D, int64_t E) {
  std::vector<at::Tensor> x{nn::l2_normalize(normal({N, T, D})), nn::l2_normalize(normal({N, T, D})), normal({N, T, D})};
  x.push_back(uniform({N, T}, 0, .05));
  x.push_back(uniform({N, T}, 0, .4));
  for (double high : {.3, .3, .9, .9}) x.push_back(uniform({N, T}, 0, high));
  for (double scale : {1.0, .1, 1.0, 1.0}) {
    x.push_back(normal({N, D, E}) * scale);
    x.push_back(normal({N, E, D}) * scale * .3);
  }
  return x;
}

MlpCall call_of(const std::vector<at::Tensor>& x, const Case& c, int64_t first = 0, int64_t steps = -1) {
  const int64_t T = steps < 0 ? x[0].size(1) : steps;
  auto part = [&](int i) { return x[i].narrow(1, first, T); };
  MlpCall call{part(0), part(1), part(2), {part(3), part(4)}, {part(5), part(6)}, {}, {}, c.exact_last, c.refresh, c.position + first, c.tile};
  if (c.momentum) call.eta = {part(7), part(8)};
  if (c.to_initial) call.initial = {x[15], x[16]};
  return call;
}

MlpWeights weights_of(const std::vector<at::Tensor>& x, const Case& c) {
  MlpWeights w{{x[9], x[10]}, {}, {x[13], c.exact_last ? at::Tensor() : x[14]}};
  if (c.momentum) w.momentum = {x[11], x[12]};
  return w;
}

template <class F>
Function kernel(F f, Case c) {
  return [=](const std::vector<at::Tensor>& x) {
    MlpWeights w = weights_of(x, c);
    std::vector<at::Tensor> r{f(call_of(x, c), w)};
    for (const auto& part : {w.weights, w.momentum, w.refresh_point})
      for (const at::Tensor& t : part)
        if (t.defined()) r.push_back(t);
    return r;
  };
}

}  // namespace

TEST_CASE("MLP memory: with shared gradient points the loop follows autograd of the inner loss", "[memory][mlp]") {
  torch::manual_seed(1);
  const Case c{false, 4, 0, 64, true, false};
  const auto x = random_inputs(2, 12, 6, 9);
  MlpWeights w = weights_of(x, c);
  const MlpCall call = call_of(x, c);
  memory::mlp_reference(call, w);
  // The oracle: plain autograd through k + unit(gelu(k W1)) W2, lower-layer rows clipped as documented.
  std::array<at::Tensor, 2> W{x[9], x[10]}, S{x[11], x[12]}, R{x[13], x[14]};
  for (int64_t t = 0; t < 12; ++t) {
    if (t % 4 == 0) R = W;
    for (int64_t n = 0; n < 2; ++n) {
      const at::Tensor k = x[1][n][t].unsqueeze(0), v = x[2][n][t].unsqueeze(0);
      const at::Tensor pre = leaf(at::mm(k, R[0][n])), W2 = leaf(R[1][n]);
      const at::Tensor s = at::gelu(pre), a = s / (s * s).sum().add(1e-6).sqrt();
      const auto g = torch::autograd::grad({(k + at::mm(a, W2) - v).square().sum()}, {pre, W2});
      const at::Tensor lower = g[0] / std::max(1.0, g[0].norm().item<double>());
      const std::array<at::Tensor, 2> u{at::mm(k.t(), lower), g[1]};
      for (int l = 0; l < 2; ++l) {
        S[l] = S[l].clone();
        W[l] = W[l].clone();
        S[l][n] = call.eta[l][n][t] * S[l][n] - call.theta[l][n][t] * u[l];
        W[l][n] = (1 - call.alpha[l][n][t]) * W[l][n] + S[l][n];
      }
    }
  }
  for (int l = 0; l < 2; ++l) {
    REQUIRE(relative_error(w.weights[l], W[l]) < kExact);
    REQUIRE(relative_error(w.momentum[l], S[l]) < kExact);
  }
}

TEST_CASE("MLP memory: chunked equals the token loop, states and every gradient", "[memory][mlp]") {
  torch::manual_seed(2);
  for (int64_t T : {1, 2, 63, 64, 65, 100})
    for (bool exact_last : {false, true})
      for (Case c : {Case{exact_last}, Case{exact_last, 16, 5, 10}, Case{exact_last, 1}, Case{exact_last, 100, 30, 32, true, false},
                     Case{exact_last, 64, 0, 64, false}}) {
        if (c.refresh == 1 && T > 2) continue;
        INFO("T " << T << " exact_last " << exact_last << " refresh " << c.refresh << " position " << c.position << " tile " << c.tile);
        require_same(kernel(memory::mlp_chunked, c), kernel(memory::mlp_reference, c), random_inputs(2, T, 6, 9), kExact, kExactGradient);
      }
}

TEST_CASE("MLP memory: exact-last at refresh 1 is the exact recurrence", "[memory][mlp]") {
  torch::manual_seed(3);
  const auto x = random_inputs(2, 20, 6, 6);
  MlpWeights a = weights_of(x, {true, 1}), b = weights_of(x, {false, 1});
  REQUIRE(relative_error(memory::mlp_chunked(call_of(x, {true, 1}), a), memory::mlp_reference(call_of(x, {false, 1}), b)) < kExact);
  REQUIRE(relative_error(a.weights[0], b.weights[0]) < kExact);
}

TEST_CASE("MLP memory: any split into calls equals one call; causal and row-independent bit by bit", "[memory][mlp]") {
  torch::manual_seed(4);
  for (bool exact_last : {false, true}) {
    const Case c{exact_last, 24};
    const auto x = random_inputs(3, 80, 6, 12);
    MlpWeights one = weights_of(x, c), many = one;
    const at::Tensor whole = memory::mlp_chunked(call_of(x, c), one);
    std::vector<at::Tensor> reads;
    int64_t first = 0;
    for (int64_t next : {1, 2, 20, 24, 49, 79, 80}) {
      reads.push_back(memory::mlp_chunked(call_of(x, c, first, next - first), many));
      first = next;
    }
    REQUIRE(relative_error(at::cat(reads, 1), whole) < kExact);
    REQUIRE(relative_error(many.weights[0], one.weights[0]) < kExact);
    auto later = x, other = x;
    for (int i = 0; i < 3; ++i) {
      later[i] = x[i].clone();
      later[i].narrow(1, 41, 39).normal_();
      other[i] = x[i].clone();
      other[i][2].normal_();
    }
    MlpWeights w1 = weights_of(x, c), w2 = w1;
    REQUIRE(at::equal(memory::mlp_chunked(call_of(later, c), w1).narrow(1, 0, 41), whole.narrow(1, 0, 41)));
    REQUIRE(at::equal(memory::mlp_chunked(call_of(other, c), w2).narrow(0, 0, 2), whole.narrow(0, 0, 2)));
  }
}

TEST_CASE("coefficients: fused equals plain, gradients too", "[memory]") {
  torch::manual_seed(5);
  auto run = [](auto f) {
    return [=](const std::vector<at::Tensor>& x) {
      const auto c = f(x[0], x[1], x[2]);
      return std::vector{c.now.K, c.now.d, c.now.m, c.p, c.L, c.before.K, c.before.d, c.before.m};
    };
  };
  for (int64_t n : {1, 2, 17, 64}) {
    const std::vector<at::Tensor> x{uniform({3, n}, 0, 1), uniform({3, n}, 0, 1), uniform({3, n}, 0, 1)};
    require_same(run(memory::coefficients), run(memory::coefficients_reference), x, kExact, kExactGradient);
  }
}

TEST_CASE("unit lower solve equals the library's, gradients too; the upper part is never read", "[memory]") {
  torch::manual_seed(6);
  for (int64_t n : {1, 2, 5, 64, 65}) {
    const at::Tensor A = at::tril(normal({3, n, n}) * .3, -1), R = normal({3, n, 7});
    auto fused = [](const std::vector<at::Tensor>& x) { return std::vector{memory::solve_unit_lower(x[0], x[1])}; };
    auto plain = [](const std::vector<at::Tensor>& x) { return std::vector{memory::solve_unit_lower_reference(x[0], x[1])}; };
    require_same(fused, plain, {A, R}, 1e-11, kExactGradient);
    REQUIRE(at::equal(memory::solve_unit_lower(A + at::triu(normal({3, n, n})), R), memory::solve_unit_lower(A, R)));
  }
}
