// Gate tables and triangular systems: fused against plain, gradients too.
#include "tests/support/tensors.h"

#include "memory/coefficients.h"
#include "memory/unit_lower.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("coefficients: fused equals plain, gradients too", "[memory]") {
  torch::manual_seed(5);
  for (bool masked : {false, true})
    for (int64_t n : {1, 2, 17, 64}) {
      at::Tensor step;
      if (masked) step = (uniform({3, n}, 0, 1) > .4).to(at::kDouble);
      auto run = [&](auto f) {
        return [=](const std::vector<at::Tensor>& x) {
          const auto c = f(x[0], x[1], x[2], step);
          return std::vector{c.now.K, c.now.d, c.now.m, c.p, c.L, c.before.K, c.before.d, c.before.m};
        };
      };
      const auto fused = [](const auto& a, const auto& b, const auto& c, const auto& d) { return memory::coefficients(a, b, c, d); };
      const std::vector<at::Tensor> x{uniform({3, n}, 0, 1), uniform({3, n}, 0, 1), uniform({3, n}, 0, 1)};
      require_same(run(fused), run(memory::coefficients_reference), x, kExact, kExactGradient);
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
