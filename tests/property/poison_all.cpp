// For the whole of this program: scratch of the fused kernels and memory that at::empty hands out are full of NaN, so that reading
// what was not written shows.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "tests/support/test.h"

#include <ATen/Context.h>

#include "kernels/task.h"

namespace {

struct PoisonAll : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testRunStarting(const Catch::TestRunInfo&) override {
    mneme::kernels::poison_scratch(true);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(true);
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(PoisonAll)

TEST_CASE("poison: uninitialised memory is NaN in this program", "[models]") {
  REQUIRE(at::empty({64}, at::kFloat).isnan().all().item<bool>());
  REQUIRE(at::empty({64}, at::kDouble).isnan().all().item<bool>());
  const float* scratch = nullptr;
  mneme::kernels::for_each_task(1, 64, [&](int64_t, float* s) { scratch = s; });
  REQUIRE(std::isnan(scratch[0]));
}
