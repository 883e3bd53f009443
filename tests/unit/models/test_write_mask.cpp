// ForwardContext::write: tokens that are read but written into no memory, for every block and memory.
#include "tests/property/model_runs.h"

using namespace mneme;
using namespace mneme::test;

namespace {

std::vector<Variant> writers() {
  std::vector<Variant> all = variants();
  std::erase_if(all, [](const Variant& v) { return !has_memory(v) || v.memory.off; });
  return all;
}

at::Tensor read(SequenceModel& model, const at::Tensor& input, const at::Tensor& write) {
  State state;
  return run(model, input, state, write);
}

}  // namespace

TEST_CASE("a call whose tokens all write is a call without a write mask", "[models][write]") {
  at::NoGradGuard no_grad;
  for (const Variant& v : writers()) {
    CAPTURE(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor input = tokens(2, 21);
    REQUIRE(relative_error(read(*model, input, at::ones({2, 21}, at::kBool)), read(*model, input, {})) <= kExact);
  }
}

TEST_CASE("where nothing is written, a memory answers as if it were off", "[models][write]") {
  at::NoGradGuard no_grad;
  for (Variant v : writers()) {
    CAPTURE(v.name);
    v.model.persistent_tokens = 0;  // a memory writes its own before the first token
    const auto model = make(v, at::kDouble);
    v.memory.off = true;
    const auto off = make(v, at::kDouble);
    const at::Tensor input = tokens(2, 21), nowhere = at::zeros({2, 21}, at::kBool);
    const at::Tensor silent = read(*model, input, nowhere);
    REQUIRE(relative_error(silent, read(*off, input, {})) <= kExact);
    REQUIRE(relative_error(silent, read(*model, input, {})) > 1e-6);
  }
}

TEST_CASE("write masks and cuts: any split is one call", "[models][write]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(4);
  for (const Variant& v : writers()) {
    CAPTURE(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor input = tokens(3, 33), write = at::rand({3, 33}) < 0.6;
    const at::Tensor whole = read(*model, input, write);
    State split;
    REQUIRE(relative_error(run_split(*model, input, {1, 6, 7, 20, 33}, split, write), whole) <= kExact);
    REQUIRE(relative_error(whole, read(*model, input, {})) > 1e-6);
  }
}
