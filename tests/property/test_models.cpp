// What every registered block and memory must hold, without naming them: causality and row independence bit by bit, kernels that
// agree. Splits: test_split.cpp; gradients: test_gradients.cpp; states: test_state.cpp; memory off: test_off.cpp.
#include "tests/property/model_runs.h"

using namespace mneme;
using namespace mneme::test;

namespace {

bool has_kernel(const AnyMemory& memory, const std::string& name) {
  const MemoryOptions options = memory.made();
  const auto made = MemoryRegistry::instance().get(options.kind).make({options, 1, 8, 8, at::make_generator<at::CPUGeneratorImpl>(1)});
  const std::vector<KernelFit> kernels = made->describe({50}).kernels;
  return std::any_of(kernels.begin(), kernels.end(), [&](const KernelFit& kernel) { return kernel.name == name; });
}

}  // namespace

TEST_CASE("models: later tokens and other rows leave every bit unchanged", "[models][property][conformance]") {
  INFO("a token sees its own row, up to itself: look for a sum, a mean, a norm or a softmax over all tokens (dimension T) or over rows (B)");
  at::NoGradGuard no_grad;
  Random random(4);
  constexpr int64_t kRows = 3, kTokens = 100;
  size_t number = 0;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kFloat);
    const at::Tensor x = tokens(kRows, kTokens);
    State state;
    const at::Tensor logits = run(*model, x, state);
    REQUIRE(logits.isfinite().all().item<bool>());
    const int times = in_turn(number++, 2) ? 2 : 1;
    for (int again = 0; again < times; ++again) {
      const int64_t first = random.between(1, kTokens - 1), row = random.between(0, kRows - 1);
      INFO("from token " << first << ", row " << row);
      at::Tensor later = x.clone(), other = x.clone();
      later.narrow(1, first, kTokens - first).copy_((x.narrow(1, first, kTokens - first) + 1 + tokens(kRows, kTokens - first, 2) % 31) % 32);
      other[row].copy_(tokens(1, kTokens, 3)[0]);
      const at::Tensor changed = run(*model, later);
      REQUIRE(at::equal(changed.narrow(1, 0, first), logits.narrow(1, 0, first)));
      REQUIRE_FALSE(at::equal(changed.select(1, first), logits.select(1, first)));
      State beside;
      const at::Tensor kept = at::tensor({(row + 1) % kRows, (row + 2) % kRows}, at::kLong), neighbours = run(*model, other, beside);
      REQUIRE(at::equal(neighbours.index_select(0, kept), logits.index_select(0, kept)));
      REQUIRE_FALSE(at::equal(neighbours[row], logits[row]));
      const auto held = state.rows(kept).flatten(), of_other = beside.rows(kept).flatten();
      REQUIRE(held.size() == of_other.size());
      for (size_t i = 0; i < held.size(); ++i) {
        INFO(held[i].first);
        REQUIRE(at::equal(held[i].second, of_other[i].second));
      }
    }
  }
}

TEST_CASE("models: chunked and reference kernels agree", "[models][property][conformance]") {
  INFO("memory.kernel chooses how the same rule is computed");
  at::NoGradGuard no_grad;
  size_t number = 0;
  for (Variant v : variants()) {
    if (!has_memory(v)) continue;
    INFO(v.name);
    const at::Tensor x = tokens(2, number++ % 2 ? 50 : 65), chunked = run(*make(v, at::kDouble), x);
    v.memory.kernel = "reference";
    if (!possible(v)) continue;  // sweeps approximate the exact recurrence, which the reference kernel has
    REQUIRE(relative_error(run(*make(v, at::kDouble), x), chunked) < kExact);
  }
}

// Two layers, gates and norms multiply what fp32 rounds: no kernel may be much further from the truth than the tiles are.
TEST_CASE("models: fused kernels are as near to fp64 as the tiles, logits and every gradient", "[models][property][conformance]") {
  INFO("in fp32 a rule is as its fp64 says, but for rounding: look for numbers that cancel, a division by what may be 0");
  for (Variant v : variants()) {
    if (!has_memory(v) || v.memory.off || (!subjects().chosen && !has_kernel(v.memory, "fused"))) continue;
    INFO(v.name);
    struct Outcome {
      at::Tensor logits;
      std::map<std::string, at::Tensor> gradients;
    };
    const at::Tensor x = tokens(2, 50);
    auto outcome = [&](const std::string& kernel, at::ScalarType dtype) {
      v.memory.kernel = kernel;
      const auto model = make(v, dtype);
      State state;
      const at::Tensor logits = at::cat({run(*model, x.narrow(1, 0, 21), state), run(*model, x.narrow(1, 21, 29), state)}, 1);
      return Outcome{logits.detach(), gradients(*model, logits.square().sum())};
    };
    const Outcome truth = outcome("chunked", at::kDouble), tiles = outcome("chunked", at::kFloat), chosen = outcome("auto", at::kFloat);
    auto require_as_near = [&](const at::Tensor& fused, const at::Tensor& tiled, const at::Tensor& exact) {
      REQUIRE(relative_error(fused, exact) <= kSingle + 4 * relative_error(tiled, exact));
    };
    require_as_near(chosen.logits, tiles.logits, truth.logits);
    REQUIRE(chosen.gradients.size() == truth.gradients.size());
    for (const auto& [name, gradient] : truth.gradients) {
      INFO(name);
      require_as_near(chosen.gradients.at(name), tiles.gradients.at(name), gradient);
    }
  }
}
