// Registered memories by their options: whatever kernel is chosen, the token loop's reads and state.
#include "tests/support/tensors.h"

#include "mneme/memory.h"
#include "nn/row_norm.h"

namespace mneme {
void register_memorys();
}

using namespace mneme;
using namespace mneme::test;

namespace {

struct Result {
  at::Tensor reads;
  State state;
};

Result run(MemoryOptions options, const std::string& kernel) {
  register_memorys();
  options.kernel = kernel;
  auto memory = MemoryRegistry::instance().get(options.kind).make({options, 2, 6, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  at::NoGradGuard no_grad;
  torch::manual_seed(4);
  for (at::Tensor& p : memory->parameters()) p.add_(at::randn_like(p) * .3);
  const int64_t T = 37;
  const at::Tensor q = nn::l2_normalize(normal({2, 2, T, 6})), k = nn::l2_normalize(normal({2, 2, T, 6})), v = normal({2, 2, T, 6});
  auto gate = [&](double high) { return uniform({2, 2, T, memory->gate_layers()}, 0, high); };
  Result r;
  r.reads = memory->forward({q, k, v, gate(.45), gate(.2), gate(.8)}, r.state);
  return r;
}

}  // namespace

TEST_CASE("memories: the chosen kernel gives what the token loop gives, at every depth and form", "[memory]") {
  for (const std::string form : {"plain", "feature", "residual+norm"})
    for (int64_t depth : {1, 2, 3})
      for (const std::string target : {"zero", "init"}) {
        INFO(form << ", depth " << depth << ", retention to " << target);
        MemoryOptions o;
        o.kind = "neural_mlp", o.form = form, o.depth = depth, o.refresh = 8, o.retention_target = target;
        const Result a = run(o, "auto"), b = run(o, "reference");
        REQUIRE(relative_error(a.reads, b.reads) < 1e-11);
        const auto x = a.state.flatten(), y = b.state.flatten();
        REQUIRE(x.size() == y.size());
        for (size_t i = 0; i < x.size(); ++i) REQUIRE(relative_error(x[i].second, y[i].second) < 1e-11);
      }
}

TEST_CASE("memories: refresh 1 is the exact recurrence, guard or not", "[memory]") {
  for (const std::string kind : {"linear", "neural_mlp"}) {
    INFO(kind);
    MemoryOptions exact;
    exact.kind = kind, exact.gradient = "refresh", exact.refresh = 1, exact.guard = false;
    MemoryOptions guarded = exact;
    guarded.guard = true;
    REQUIRE(at::equal(run(guarded, "auto").reads, run(exact, "auto").reads));
    if (kind == "linear") {
      MemoryOptions solved = exact;
      solved.gradient = "exact";
      REQUIRE(relative_error(run(guarded, "auto").reads, run(solved, "auto").reads) < kExact);
    }
  }
}
