// The memories with a linear state give the numbers of public token loops (tests/golden/delta_family.json) and of worked examples.
#include "tests/unit/memory/zoo_linear_cases.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("zoo: GLA, Gated DeltaNet, Kimi Delta Attention, Gated DeltaNet-2 give a public implementation's numbers", "[memory][zoo]") {
  require_rule("gla", "gla", [](const Named& x) { return Named{{"theta", at::ones_like(x.at("q").select(3, 0))}, {"decay", x.at("gk")}}; });
  require_rule("gated_delta_rule", "gated_deltanet", [](const Named& x) { return Named{{"beta", x.at("beta")}, {"decay", x.at("g")}}; });
  require_rule("kda", "kda", [](const Named& x) { return Named{{"beta", x.at("beta")}, {"decay", x.at("g")}}; });
  require_rule("gdn2", "gdn2", [](const Named& x) { return Named{{"erase", x.at("b")}, {"write", x.at("w")}, {"decay", x.at("g")}}; });
}

// The fixture's s = p / k changes by token, ours is a parameter: β s/s₀ with v s₀/s asks and writes the same. As p follows k, so does its
// gradient.
TEST_CASE("zoo: Comba gives a public implementation's numbers", "[memory][zoo]") {
  for (const Form& form : kForms) {
    const Case c("comba");
    const auto memory = memory_of("comba", c.heads(), c.keys(), c.values(), form);
    set(*memory, "ask", 0), set(*memory, "correction", 0);
    Named x = c.inputs;
    const at::Tensor s = ((x.at("p") * x.at("k")).sum(3) / x.at("k").square().sum(3)).detach();
    x["v"] = x.at("v") * (.5 / s).unsqueeze(3);
    const Named got = c.derive(run(*memory, x, {{"beta", x.at("beta") * s / .5}, {"decay", x.at("g")}}));
    Named expected = c.gradients;
    expected["k"] = expected["k"] + s.unsqueeze(3) * expected["p"];
    require_gradients(got, expected, {"q", "k", "v", "beta", "g", "initial_state"});
  }
}

// The fixture's key and removal key are apart; ours come from one. Two tokens for one: the first decays and removes, the second, of no
// step size, writes. The removal key is made a unit vector: of its gradient we have what lies across it.
TEST_CASE("zoo: RWKV-7 gives a public implementation's numbers", "[memory][zoo]") {
  for (const Form& form : kForms) {
    const Case c("dplr_rwkv7");
    const auto memory = memory_of("rwkv7", c.heads(), c.keys(), c.values(), form);
    set(*memory, "removal", 1e6), set(*memory, "mix", 0);
    const Named& x = c.inputs;
    auto two = [](const at::Tensor& first, const at::Tensor& second) { return at::stack({first, second}, 2).flatten(1, 2); };
    const at::Tensor removed = -x.at("alpha"), none = at::zeros_like(removed);
    const Named both{{"q", two(none, x.at("q"))}, {"k", two(removed, x.at("k"))}, {"v", two(at::zeros_like(x.at("v")), x.at("v"))},
                     {"initial_state", x.at("initial_state")}};
    Named got = run(*memory, both, {{"step", two(x.at("beta") / removed, none)}, {"decay", two(x.at("gk"), none)}});
    got["reads"] = got["reads"].slice(1, 1, c10::nullopt, 2);
    Named derived = c.derive(got), expected = c.gradients;
    require_gradients(derived, expected, {"q", "k", "v", "beta", "gk", "initial_state"});
    auto across = [&](const at::Tensor& g) { return (g - (g * removed).sum(3, true) * removed).detach(); };
    REQUIRE(relative_error(across(derived.at("alpha")), across(expected.at("alpha"))) <= kExactGradient);
  }
}

TEST_CASE("zoo: preconditioned Gated DeltaNet gives a public implementation's numbers", "[memory][zoo]") {
  for (const Form& form : kForms) {
    const Case c("precond_gated_delta_rule");
    const auto memory = memory_of("precond_gdn", c.heads(), c.keys(), c.values(), form);
    Named x = c.inputs;
    for (const char* unit : {"q", "k"}) x[unit] = x.at(unit) / x.at(unit).norm(2, -1, true);
    set(*memory, "centre", -.2);  // in fp64
    State state;
    state.tensor("weights") = x.at("initial_state"), state.tensor("preconditioner") = x.at("initial_A");
    const at::Tensor reads = memory->forward(
        input_of(x, {{"beta", x.at("beta")}, {"decay", x.at("g")}, {"own_step", x.at("beta_atk")}, {"own_decay", x.at("g_atk")}}), state);
    const Named got =
        c.derive({{"reads", tokens(reads)}, {"state", state.tensor("weights")}, {"preconditioner", state.tensor("preconditioner")}});
    for (const auto& [key, value] : c.gradients) require_gradients(got, c.gradients, {key});
  }
}

// The fixture's reads of this rule are of single precision (6e-8 from a loop in fp64); the worked example below holds ten digits.
TEST_CASE("zoo: MesaNet gives a public implementation's numbers", "[memory][zoo]") {
  for (const Form& form : kForms) {
    Case c("mesa");
    c.exact = 1e-6;
    const auto memory = memory_of("mesa", c.heads(), c.keys(), c.values(), form);
    const at::Tensor before_softplus = (c.inputs.at("lamb").detach() - .25).expm1().log();
    set(*memory, "ridge", before_softplus);
    State state;
    const at::Tensor reads = memory->forward(input_of(c.inputs, {{"beta", c.inputs.at("beta")}, {"decay", c.inputs.at("g")}}), state);
    Named got = c.derive({{"reads", tokens(reads)}}, {{"ridge", memory->named_parameters()["ridge"]}});
    got["lamb"] = got.at("ridge") / before_softplus.sigmoid();
    for (const auto& [key, value] : c.gradients) require_gradients(got, c.gradients, {key}, 1e-6);
  }
}

// The fixture's erase address p is an input of its own; here it follows k, and with `decayed` the decay.
TEST_CASE("zoo: Momentum DeltaNet gives a public implementation's numbers, p = a k and p = k", "[memory][zoo]") {
  for (const bool decayed : {true, false}) {
    INFO("decayed " << decayed);
    const Case c(decayed ? "momentum_delta_rule" : "momentum_delta_rule_titans");
    const auto memory =
        memory_of("momentum_deltanet", c.heads(), c.keys(), c.values(), {"reference"}, {{"decayed", decayed ? "true" : "false"}});
    const Named& x = c.inputs;
    State state;
    state.tensor("weights") = x.at("initial_S"), state.tensor("momentum") = x.at("initial_M");
    const Named gates{{"theta", x.at("eta")}, {"momentum", x.at("log_mu").exp()}, {"release", x.at("beta")}, {"decay", x.at("log_alpha")}};
    const at::Tensor reads = memory->forward(input_of(x, gates), state);
    const Named got = c.derive({{"reads", tokens(reads)}, {"state", at::stack({state.tensor("weights"), state.tensor("momentum")})}});
    Named expected = c.gradients;
    const at::Tensor of_p = expected.at("p");
    if (decayed) expected["log_alpha"] = expected["log_alpha"] + (of_p * x.at("p")).sum(3);
    expected["k"] = expected["k"] + (decayed ? x.at("log_alpha").exp().unsqueeze(3) * of_p : of_p);
    for (auto& [key, value] : expected)
      if (key != "p") require_gradients(got, {{key, value.detach()}}, {key});
  }
}

// Keys, values and gates of three tokens; M = Sᵀ after them. Numbers: ten digits of separate loops.
TEST_CASE("zoo: worked examples of three tokens", "[memory][zoo]") {
  auto table = [](std::vector<double> x, int64_t n) { return at::tensor(x, at::kDouble).view({1, 1, -1, n}); };
  const at::Tensor k = table({1, 0, .6, .8, 0, 1}, 2), v = table({1, -1, .5, 2, -1, .25}, 2), q = table({.8, .6, .8, .6, .8, .6}, 2);
  const at::Tensor a = table({.9, .8, .95}, 1).log(), h = table({.5, .4, .3}, 1), m = table({.7, .6, .5}, 1);
  const at::Tensor channels = table({.9, .7, .8, .95, .6, .85}, 2).log();
  auto require = [&](const std::string& kind, const Named& gates, std::vector<double> M, const Named& parameters = {},
                     std::vector<double> y = {}) {
    INFO(kind);
    for (const Form& form : kForms) {
      const auto memory = memory_of(kind, 1, 2, 2, form);
      for (const auto& [name, value] : parameters) set(*memory, name, value);
      State state;
      memory->start(state, 1);
      if (kind != "mesa") state.tensor("weights") = table({.1, .3, -.2, .05}, 2);
      MemoryInput in{q, k, v, gates};
      const at::Tensor last = memory->forward(in, state).select(2, 2).flatten();
      if (!M.empty()) REQUIRE(relative_error(state.tensor("weights").view({2, 2}).t().flatten(), at::tensor(M, at::kDouble)) < 1e-9);
      if (!y.empty()) REQUIRE(relative_error(last, at::tensor(y, at::kDouble)) < 1e-9);
    }
  };
  auto number = [](double x) { return at::full({}, x, at::kDouble); };
  require("gated_deltanet", {{"beta", h}, {"decay", a}}, {.4948208, -.32051392, .2119792, .55569392}, {}, {.203548288, .502999712});
  require("kda", {{"beta", h}, {"decay", channels}}, {.3112512, -.31348508, .1341984, .50387719});
  require("gdn2", {{"erase", table({.5, .9, .4, .6, .3, .8}, 2)}, {"write", table({.7, .2, .6, .5, .9, .4}, 2)}, {"decay", channels}},
          {.437088, -.8925812, .3275472, .24117922});
  require("comba", {{"beta", h}, {"decay", a}}, {.507548672, -.316305879, .223459456, .5877359821},
          {{"ask", number(std::log(.8 / .2))}, {"correction", number(.02)}}, {.221316304241, .522005378335});
  require("longhorn", {{"beta", h}}, {.4445714286, -.2685714286, .2232380952, .4407692308});
  require("eda", {{"beta", h}, {"erase", table({.2, .3, .1}, 1)}, {"address", table({0, 1, 1, 0, .6, .8}, 2) * 1e6}, {"decay", a}},
          {.368690288, -.3031077312, .24233512, .501566112});
  require("precond_gdn", {{"beta", h}, {"decay", a}, {"own_step", h}, {"own_decay", a}},
          {.5464119525, -.3474662818, .215129844, .6555048198}, {{"centre", number(-.2)}});
  require("momentum_deltanet", {{"theta", h}, {"momentum", m}, {"release", table({.6, .5, .7}, 1)}, {"decay", a}},
          {.58841508, -.2157340032, .00216204, .5493593184});
  require("mesa", {{"beta", h}, {"decay", a}}, {}, {{"ridge", number(-800)}}, {.370312858723, .442608477866});
}
