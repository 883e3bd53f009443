// The fused MLP memory, form residual+norm, against a token loop with autograd's inner gradients: reads, states, every gradient.
#include "tests/unit/kernels/fused_cases.h"

using namespace mneme;
using namespace mneme::test;

namespace {

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
    const Tensors gradient = torch::autograd::grad({loss}, {R.begin(), R.begin() + layers}, {}, true, true);
    for (int l = 0; l < layers; ++l) {
      at::Tensor theta = column(x[3 + l], t);
      if (c.guard > 0 && l < 2)
        theta = guarded(load[l], l ? at::gelu(at::bmm(x[1].narrow(1, t, 1), R[0])) : x[1].narrow(1, t, 1), theta,
                        c.momentum ? column(x[9 + l], t) : at::Tensor(), c.factor / 2, c.guard);
      const at::Tensor step = -theta * gradient[l], forget = column(x[6 + l], t);
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
  auto of_layers = [&](int first) { return Tensors(x.begin() + first, x.begin() + first + layers); };
  kernels::NetworkCall call{one_head(x[0]), one_head(x[1]), one_head(x[2]), gates(of_layers(3)), gates(of_layers(6))};
  call.form = kernels::Form::residual_norm, call.refresh = c.refresh, call.position = c.position;
  call.factor = c.factor, call.guard_limit = c.guard;
  kernels::NetworkState s{one_head(of_layers(12)), {}, one_head(of_layers(18))};
  if (c.momentum) call.eta = gates(of_layers(9)), s.momentum = one_head(of_layers(15));
  if (c.to_initial) call.initial = one_head(of_layers(21));
  if (!c.fast_gain) call.gain = one_head(x[20]);
  Tensors out{kernels::network(call, s)};
  for (int l = 0; l < layers; ++l) {
    out.insert(out.end(), {s.weights[l], s.refresh_point[l]});
    if (c.momentum) out.push_back(s.momentum[l]);
  }
  for (at::Tensor& y : out) y = y.squeeze(1);
  return out;
}

void require_same_norm(const NormCase& c) {
  INFO("T " << c.T << " refresh " << c.refresh << " position " << c.position << " momentum " << c.momentum << " to initial "
            << c.to_initial << " fast gain " << c.fast_gain << " guard " << c.guard << " engine " << kernels::engine().name);
  require_same([&](const Tensors& x) { return norm_kernel(x, c); }, [&](const Tensors& x) { return norm_loop(x, c); },
               norm_inputs(2, c.T, 20, 36), kSingle, kSingle);
}

}  // namespace

TEST_CASE("fused residual+norm memory equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(7);
  const Poisoned poisoned;
  require_same_norm({70, 64});
  require_same_norm({70, 64, 0, false});
  require_same_norm({40, 16, 5, true, true});
  require_same_norm({70, 64, 10, true, false, false});
  require_same_norm({33, 100, 90, true, true, false, 2.0 / 20});
}

TEST_CASE("fused residual+norm memory with the guard equals the token loop, states and every gradient", "[memory][fused]") {
  torch::manual_seed(10);
  const Poisoned poisoned;
  for (const NormCase& c : {NormCase{60, 20, 40, true, false, true, 2, .02}, NormCase{64, 32, 0, false, true, false, 2.0 / 20, .002}}) {
    require_same_norm(c);
    NormCase free = c;
    free.guard = 0;
    const Tensors x = norm_inputs(2, c.T, 20, 36);
    REQUIRE(relative_error(norm_kernel(x, c)[0], norm_kernel(x, free)[0]) > kSingle);
  }
}

TEST_CASE("fused residual+norm memory: every instruction set gives the same results", "[memory][fused]") {
  torch::manual_seed(3);
  const Poisoned poisoned;
  on_every_engine([] { require_same_norm({75, 64, 10, true, true}); });
}

TEST_CASE("fused residual+norm memory gives the same bits whether states are kept for a backward pass or not", "[memory][fused]") {
  torch::manual_seed(6);
  const Poisoned poisoned;
  for (int64_t refresh : {16, 64, 100}) require_same_bits(norm_kernel, norm_inputs(2, 150, 20, 36), NormCase{150, refresh, 7});
}
