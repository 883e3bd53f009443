// Delta gradient descent (HOPE) against worked numbers, a loop whose inner gradient autograd takes, and what it settles at.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "config/fields.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;

namespace {

std::shared_ptr<Memory> hope_memory(const std::string& loss, int64_t H, int64_t K, int64_t V, const std::string& kernel = "chunked", int64_t tile = 64) {
  register_memories();
  const MemoryPlugin& plugin = MemoryRegistry::instance().get("hope");
  MemoryOptions options;
  options.kind = "hope", options.kernel = kernel, options.tile = tile, options.own = plugin.options();
  for (Field& field : fields_of(*options.own, ""))
    if (field.key == "loss") field.parse(loss);
  const auto memory = plugin.make({options, H, K, V, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  return memory;
}

at::Tensor numbers(std::vector<double> x, at::IntArrayRef sizes) { return at::tensor(x, at::kDouble).view(sizes); }

// One head's row: M [V,K] by the printed rule.
at::Tensor dgd_step(const at::Tensor& M, const at::Tensor& k, const at::Tensor& v, const at::Tensor& h, const at::Tensor& a, bool squared) {
  const at::Tensor W = M.detach().requires_grad_(true);
  const at::Tensor y = at::mv(W, k.detach()), loss = squared ? (y - v.detach()).square().sum() / 2 : -(y * v.detach()).sum();
  const at::Tensor taken = torch::autograd::grad({loss}, {W})[0];
  const at::Tensor gradient = squared ? at::outer(at::mv(M, k) - v, k) : -at::outer(v, k);  // the same, differentiable once more
  REQUIRE(relative_error(gradient, taken) <= kExact);
  return at::matmul(M, a * at::eye(k.size(0), k.options()) - h * at::outer(k, k)) - h * gradient;
}

}  // namespace

TEST_CASE("zoo: delta gradient descent gives the worked numbers", "[memory][zoo][hope]") {
  const std::map<std::string, std::vector<double>> expected{{"l2", {.418, -.328, .181792, .374768}}, {"dot", {.48336, -.32704, .210976, .554336}}};
  for (const auto& [loss, M] : expected) {
    INFO(loss);
    const auto memory = hope_memory(loss, 1, 2, 2);
    State state;
    memory->start(state, 1);
    state.tensor("weights") = numbers({.1, .3, -.2, .05}, {1, 1, 2, 2});  // [K,V]
    const at::Tensor q = numbers({.8, .6}, {1, 1, 1, 2}).expand({1, 1, 3, 2});
    MemoryInput in{q, numbers({1, 0, .6, .8, 0, 1}, {1, 1, 3, 2}), numbers({1, -1, .5, 2, -1, .25}, {1, 1, 3, 2})};
    in.gates["theta"] = numbers({.5, .4, .3}, {1, 1, 3, 1}), in.gates["decay"] = numbers({.9, .8, .95}, {1, 1, 3, 1}).log();
    const at::Tensor reads = memory->forward(in, state), final = numbers(M, {2, 2});
    REQUIRE(relative_error(state.tensor("weights")[0][0].t(), final) <= kExact);
    REQUIRE(relative_error(reads[0][0][2], at::mv(final, q[0][0][0])) <= kExact);
  }
}

TEST_CASE("zoo: delta gradient descent is its printed rule, gradients too", "[memory][zoo][hope]") {
  constexpr int64_t B = 2, H = 2, T = 11, K = 4, V = 3;
  torch::manual_seed(5);
  const std::vector<at::Tensor> values{normal({B, H, T, K}),        nn::l2_normalize(normal({B, H, T, K})), normal({B, H, T, V}),
                                       uniform({B, H, T, 1}, .1, .9), -uniform({B, H, T, 1}, 0, .6)};
  for (const std::string loss : {"l2", "dot"})
    for (const auto& [kernel, tile] : std::vector<std::pair<std::string, int64_t>>{{"reference", 64}, {"chunked", 4}, {"chunked", 64}}) {
      INFO(loss << " " << kernel << " " << tile);
      const auto memory = hope_memory(loss, H, K, V, kernel, tile);
      const Function found = [&](const std::vector<at::Tensor>& x) {
        MemoryInput in{x[0], x[1], x[2]};
        in.gates["theta"] = x[3], in.gates["decay"] = x[4];
        State state;
        return std::vector<at::Tensor>{memory->forward(in, state), state.tensor("weights")};
      };
      const Function expected = [&](const std::vector<at::Tensor>& x) {
        std::vector<at::Tensor> reads, weights;
        for (int64_t n = 0; n < B * H; ++n) {
          auto at_row = [&](size_t i, int64_t t) { return x[i][n / H][n % H][t]; };
          at::Tensor M = at::zeros({V, K}, at::kDouble);
          std::vector<at::Tensor> y;
          for (int64_t t = 0; t < T; ++t) {
            M = dgd_step(M, at_row(1, t), at_row(2, t), at_row(3, t), at_row(4, t).exp(), loss == "l2");
            y.push_back(at::mv(M, at_row(0, t)));
          }
          reads.push_back(at::stack(y)), weights.push_back(M.t());
        }
        return std::vector<at::Tensor>{at::stack(reads).view({B, H, T, V}), at::stack(weights).view({B, H, K, V})};
      };
      require_same(found, expected, values, kExact, kExactGradient);
    }
}

TEST_CASE("zoo: with the squared error, delta gradient descent settles a repeated pair at half its value", "[memory][zoo][hope]") {
  const at::NoGradGuard none;
  constexpr int64_t T = 300;
  torch::manual_seed(6);
  const at::Tensor key = normal({1, 1, 1, 5}), k = (key / key.norm()).expand({1, 1, T, 5}), v = normal({1, 1, 1, 3}).expand({1, 1, T, 3});
  for (const auto& [loss, share] : std::map<std::string, double>{{"l2", .5}, {"dot", 1}}) {
    INFO(loss);
    const auto memory = hope_memory(loss, 1, 5, 3);
    MemoryInput in{k, k, v};
    in.gates["theta"] = at::full({1, 1, T, 1}, .3, at::kDouble), in.gates["decay"] = at::zeros({1, 1, T, 1}, at::kDouble);
    State state;
    const at::Tensor reads = memory->forward(in, state);
    REQUIRE(relative_error(reads.select(2, T - 1), share * v.select(2, 0)) <= kExact);
  }
}
