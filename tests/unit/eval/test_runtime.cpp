#include <torch/cuda.h>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/runtime.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("a device that is not there is a config problem, said before anything is made", "[train]") {
  RuntimeOptions runtime;
  runtime.threads = 1;
  CHECK(device_of(runtime).is_cpu());
  runtime.device = "abacus";
  CHECK_THAT(message_of<ConfigError>([&] { device_of(runtime); }), Contains("runtime.device = abacus: not a device; allowed: cpu"));
  runtime.device = torch::cuda::is_available() ? "xla" : "cuda";
  const std::string why = "runtime.device = " + runtime.device + ": this LibTorch finds no such device here; use cpu";
  CHECK(message_of<ConfigError>([&] { device_of(runtime); }) == why);
  CHECK(message_of<ConfigError>([&] { set_up_runtime(runtime); }) == why);
}
