// The step cap: its formula number by number, what it bounds, and which memories have it.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include <cmath>

#include "memory/layer.h"
#include "memory/step_cap.h"

using namespace mneme;
using namespace mneme::test;

namespace {

using Per = Gate::Per;

std::string why_not(const std::string& kind, bool forgetting) {
  register_memories();
  ModelOptions model;
  model.kind = "lmm", model.width = 8;
  AnyMemory memory;
  memory.kind = kind, memory.step_cap = 1, memory.forgetting = forgetting;
  try {
    MemoryLayer layer(BlockContext{model, memory.made(), 0, at::make_generator<at::CPUGeneratorImpl>(5)});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("step cap: it is its formula, of a gate that forgets by a share or by a logarithm, per head, matrix or channel", "[memory][step_cap]") {
  torch::manual_seed(1);
  const at::Tensor theta = uniform({2, 2, 3, 2}, 0, 1), alpha = uniform({2, 2, 3, 2}, 0, 1);
  struct Form {
    Gate write, forget;
    at::Tensor h, given;
    std::function<double(int64_t, int64_t, int64_t, int64_t)> forgotten;
  };
  auto share = [&](int64_t b, int64_t h, int64_t t, int64_t i) { return alpha[b][h][t][i].item<double>(); };
  auto least = [&](int64_t b, int64_t h, int64_t t, int64_t) { return std::min(share(b, h, t, 0), share(b, h, t, 1)); };
  const std::vector<Form> forms{
      {{.name = "theta", .help = "", .copies = 2, .writes = true}, {.name = "alpha", .help = "", .copies = 2}, theta, alpha, share},
      {{.name = "theta", .help = "", .writes = true}, {.name = "alpha", .help = "", .copies = 2}, theta.narrow(3, 0, 1), alpha, least},
      {{.name = "beta", .help = "", .writes = true}, {.name = "decay", .help = "", .per = Per::key_channel}, theta.narrow(3, 0, 1), (1 - alpha).log(), least},
      {{.name = "write", .help = "", .per = Per::value_channel, .writes = true}, {.name = "decay", .help = "", .per = Per::key_channel}, theta, (1 - alpha).log(), least},
      {{.name = "write", .help = "", .per = Per::value_channel, .writes = true}, {.name = "decay", .help = ""}, theta, (1 - alpha.narrow(3, 1, 1)).log(),
       [&](int64_t b, int64_t h, int64_t t, int64_t) { return share(b, h, t, 1); }},
  };
  for (const double r : {.2, 1., 30.})
    for (const Form& form : forms) {
      INFO(form.write.name << " by " << form.forget.name << ", r = " << r);
      MemoryInput in;
      in.gates[form.write.name] = form.h, in.gates[form.forget.name] = form.given;
      cap_steps({form.write, form.forget}, r, in);
      REQUIRE(at::equal(in.gates[form.forget.name], form.given));
      const at::Tensor& capped = in.gates[form.write.name];
      REQUIRE(capped.sizes() == form.h.sizes());
      for (int64_t b = 0; b < 2; ++b)
        for (int64_t h = 0; h < 2; ++h)
          for (int64_t t = 0; t < 3; ++t)
            for (int64_t i = 0; i < form.h.size(3); ++i) {
              const double asked = form.h[b][h][t][i].item<double>(), most = form.forgotten(b, h, t, i) / r;
              const double got = capped[b][h][t][i].item<double>();
              REQUIRE(std::abs(got - most * (1 - std::exp(-asked / most))) <= kExact);
              REQUIRE((got < asked && got <= most));
            }
    }
}

TEST_CASE("step cap: nothing forgotten, nothing written, and gradients stay finite", "[memory][step_cap]") {
  const std::vector<Gate> gates{{.name = "theta", .help = "", .writes = true}, {.name = "alpha", .help = ""}};
  const at::Tensor theta = leaf(at::full({1, 1, 2, 1}, .3, at::kDouble)), alpha = leaf(at::tensor({0., .4}, at::kDouble).view({1, 1, 2, 1}));
  MemoryInput in;
  in.gates = {{"theta", theta}, {"alpha", alpha}};
  cap_steps(gates, .5, in);
  REQUIRE(in.gates["theta"][0][0][0][0].item<double>() == 0);
  for (const at::Tensor& g : torch::autograd::grad({in.gates["theta"].sum()}, {theta, alpha})) REQUIRE(at::isfinite(g).all().item<bool>());
}

TEST_CASE("step cap: a pair written without end adds up to less than 1/r of itself", "[memory][step_cap]") {
  const at::NoGradGuard none;
  register_memories();
  constexpr int64_t T = 3000;
  MemoryOptions options;
  options.kind = "gla";
  const auto gla = MemoryRegistry::instance().get("gla").make({options, 1, 2, 2, at::make_generator<at::CPUGeneratorImpl>(3)});
  gla->to(at::kDouble);
  auto rows = [&](double a, double b) { return at::tensor({a, b}, at::kDouble).view({1, 1, 1, 2}).expand({1, 1, T, 2}); };
  MemoryInput in{rows(.6, .8), rows(.6, .8), rows(1, -2)};
  in.gates = {{"theta", at::full({1, 1, T, 1}, .9, at::kDouble)}, {"decay", at::full({1, 1, T, 2}, std::log(.99), at::kDouble)}};
  auto read_at_end = [&](double r) {
    MemoryInput call = in;
    if (r > 0) cap_steps(gla->gates(), r, call);
    State state;
    return gla->forward(call, state)[0][0][T - 1][0].item<double>();
  };
  REQUIRE(read_at_end(0) > 80);
  REQUIRE(read_at_end(2) < .5);
  REQUIRE(read_at_end(2) > .49);
}

TEST_CASE("step cap: a memory without a gate that forgets is refused by name", "[memory][step_cap]") {
  REQUIRE(why_not("linear", true).empty());
  REQUIRE(why_not("gdn2", true).empty());
  REQUIRE(why_not("longhorn", true).find("memory.kind = longhorn has no forgetting gate (alpha or decay); leave it out") != std::string::npos);
  REQUIRE(why_not("linear", false).find("set memory.forgetting = true, or leave it out") != std::string::npos);
}
