// The memories with a linear state, driven as a layer drives them, gates by hand: against numbers of public token loops
// (tests/golden/delta_family.json), worked examples of three tokens, each other, and what every memory must hold.
#include "tests/golden/golden.h"
#include "tests/support/memory_options.h"

#include <cmath>
#include <map>

#include "config/fields.h"
#include "mneme/memory.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;

namespace {

using Named = std::map<std::string, at::Tensor>;
using Own = std::map<std::string, std::string>;

const std::vector<std::string> kKinds{"gla",      "gated_deltanet", "kda",         "gdn2", "comba",            "rwkv7",
                                      "longhorn", "eda",            "precond_gdn", "mesa", "momentum_deltanet"};

struct Form {
  std::string kernel = "chunked";
  int64_t tile = 64;
  std::string read = "after";
};
const std::vector<Form> kForms{{"reference", 64}, {"chunked", 1}, {"chunked", 4}, {"chunked", 64}};

std::shared_ptr<Memory> memory_of(const std::string& kind, int64_t H, int64_t K, int64_t V, const Form& form = {}, const Own& own = {},
                                  MemoryOptions options = {}) {
  register_memories();
  const MemoryPlugin& plugin = MemoryRegistry::instance().get(kind);
  options.kind = kind, options.kernel = form.kernel, options.tile = form.tile, options.read = form.read;
  if (plugin.options) {
    options.own = plugin.options();
    for (Field& field : fields_of(*options.own, ""))
      if (own.count(field.key)) field.parse(own.at(field.key));
  }
  const auto memory = plugin.make({options, H, K, V, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  return memory;
}

void set(Memory& memory, const std::string& name, const at::Tensor& value) {
  const at::NoGradGuard none;
  at::Tensor parameter = memory.named_parameters()[name];
  parameter.copy_(value.expand_as(parameter));
}
void set(Memory& memory, const std::string& name, double value) { set(memory, name, at::full({}, value, at::kDouble)); }

// [B,T,H] or [B,T,H,n] → [B,H,T,n] and back.
at::Tensor heads(const at::Tensor& x) { return (x.dim() == 3 ? x.unsqueeze(3) : x).transpose(1, 2); }
at::Tensor tokens(const at::Tensor& x) { return x.transpose(1, 2); }

// --- the fixture

Named tensors(const nlohmann::json& json) {
  Named r;
  for (const auto& [name, value] : json.items()) r[name] = golden_tensor(value);
  return r;
}

struct Case {
  explicit Case(const std::string& name) {
    const auto fixture = golden("delta_family.json").at("cases").at(name);
    inputs = tensors(fixture.at("inputs")), outputs = tensors(fixture.at("outputs"));
    cotangents = tensors(fixture.at("cotangents")), gradients = tensors(fixture.at("gradients"));
    for (auto& [key, value] : inputs) value.requires_grad_(true);
  }
  int64_t heads() const { return inputs.at("q").size(2); }
  int64_t keys() const { return inputs.at("q").size(3); }
  int64_t values() const { return inputs.at("v").size(3); }

  // Holds outputs against the fixture; gradients of Σ outputs · cotangents by input, and of `more`.
  Named derive(const Named& got, const Named& more = {}) const {
    REQUIRE(got.size() == outputs.size());
    at::Tensor sum = at::zeros({}, at::kDouble);
    for (const auto& [key, value] : outputs) {
      INFO(key);
      REQUIRE(relative_error(got.at(key), value) <= exact);
      sum = sum + (got.at(key) * cotangents.at(key)).sum();
    }
    std::vector<at::Tensor> leaves;
    std::vector<std::string> names;
    for (const Named* named : {&inputs, &more})
      for (const auto& [key, value] : *named) names.push_back(key), leaves.push_back(value);
    const auto all = torch::autograd::grad({sum}, leaves, {}, false, false, true);
    Named derived;
    for (size_t i = 0; i < names.size(); ++i)
      if (all[i].defined()) derived[names[i]] = all[i];
    return derived;
  }

  Named inputs, outputs, cotangents, gradients;
  double exact = kExact;
};

void require_gradients(const Named& got, const Named& expected, const std::vector<std::string>& names, double exact = kExactGradient) {
  for (const std::string& name : names) {
    INFO("gradient of " << name);
    REQUIRE(got.count(name));
    REQUIRE(relative_error(got.at(name), expected.at(name)) <= exact);
  }
}

MemoryInput input_of(const Named& x, const Named& gates) {
  MemoryInput input{heads(x.at("q")), heads(x.at("k")), heads(x.at("v"))};
  for (const auto& [name, value] : gates) input.gates[name] = heads(value);
  return input;
}

// Reads and the final state of a memory that starts at the fixture's state.
Named run(Memory& memory, const Named& x, const Named& gates) {
  State state;
  memory.start(state, x.at("q").size(0));
  state.tensor("weights") = x.at("initial_state");
  const at::Tensor reads = memory.forward(input_of(x, gates), state);
  return {{"reads", tokens(reads)}, {"state", state.tensor("weights")}};
}

using Gates = std::function<Named(const Named&)>;

// Every input of the fixture is one of the memory.
void require_rule(const std::string& name, const std::string& kind, const Gates& gates) {
  for (const Form& form : kForms) {
    INFO(name << " " << form.kernel << " " << form.tile);
    const Case c(name);
    const auto memory = memory_of(kind, c.heads(), c.keys(), c.values(), form);
    const Named got = c.derive(run(*memory, c.inputs, gates(c.inputs)));
    REQUIRE(got.size() == c.gradients.size());
    for (const auto& [key, value] : c.gradients) require_gradients(got, c.gradients, {key});
  }
}

// --- random inputs

constexpr int64_t kB = 2, kH = 3, kK = 5, kV = 4;

MemoryInput random_input(const Memory& memory, int64_t T, int64_t K = kK, int64_t V = kV) {
  MemoryInput in{nn::l2_normalize(normal({kB, kH, T, K})), nn::l2_normalize(normal({kB, kH, T, K})), normal({kB, kH, T, V})};
  for (const Gate& gate : memory.gates()) {
    const int64_t width = gate.per == Gate::Per::head ? gate.copies : gate.per == Gate::Per::key_channel ? K : V;
    const at::Tensor x = uniform({kB, kH, T, width}, .05, .95);
    const bool decays = gate.activation == Gate::Activation::log_decay, any = gate.activation == Gate::Activation::identity;
    in.gates[gate.name] = any ? normal(x.sizes()) : (decays ? -.3 : gate.scale) * x;
  }
  return in;
}

// A state that some tokens went into.
State used(Memory& memory) {
  const at::NoGradGuard none;
  State state;
  memory.forward(random_input(memory, 4), state);
  return state;
}

void require_states(const State& a, const State& b, double tolerance = kExact) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO("state " << x[i].first);
    REQUIRE(x[i].first == y[i].first);
    if (x[i].first != "position") REQUIRE(relative_error(x[i].second, y[i].second) <= tolerance);
  }
}

std::vector<at::Tensor> flat(const MemoryInput& in) {
  std::vector<at::Tensor> all{in.query, in.key, in.value};
  for (const auto& [name, x] : in.gates) all.push_back(x);
  return all;
}
MemoryInput unflat(const std::vector<at::Tensor>& all, const MemoryInput& like) {
  MemoryInput in{all[0], all[1], all[2]};
  size_t i = 3;
  for (const auto& [name, x] : like.gates) in.gates[name] = all[i++];
  in.step = like.step;
  return in;
}

// Inputs → reads, losses, final state.
Function function(const std::shared_ptr<Memory>& memory, const MemoryInput& like, const State& start) {
  return [=](const std::vector<at::Tensor>& x) {
    MemoryInput in = unflat(x, like);
    at::Tensor losses;
    in.losses = &losses;
    State state = start;
    std::vector<at::Tensor> r{memory->forward(in, state)};
    r.push_back(losses);
    for (const auto& [name, tensor] : state.flatten())
      if (name != "position") r.push_back(tensor);
    return r;
  };
}

at::Tensor some_steps(int64_t T) { return uniform({kB, T}, 0, 1) < .6; }

}  // namespace

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

// RWKV-7 has no example there: the equation, written with matrices.
TEST_CASE("zoo: RWKV-7 is its equation", "[memory][zoo]") {
  torch::manual_seed(1);
  const auto memory = memory_of("rwkv7", kH, kK, kV);
  const at::Tensor removal = normal({kH, 1, kK}), mix = uniform({kH, 1, kK}, 0, 1);
  set(*memory, "removal", removal * 1e4), set(*memory, "mix", mix);
  const MemoryInput in = random_input(*memory, 6);
  State state;
  const at::Tensor reads = memory->forward(in, state);
  for (int64_t b = 0; b < kB; ++b)
    for (int64_t h = 0; h < kH; ++h) {
      at::Tensor S = at::zeros({kK, kV}, at::kDouble);
      for (int64_t t = 0; t < 6; ++t) {
        auto row = [&](const at::Tensor& x) { return x[b][h][t]; };
        at::Tensor removed = row(in.key) * removal[h][0];
        removed = removed / removed.norm();
        const at::Tensor step = row(in.gate("step"));
        S = at::mm(at::diag(row(in.gate("decay")).exp()) - at::outer(step * removed, removed), S) +
            at::outer(row(in.key) * (1 - mix[h][0] + mix[h][0] * step), row(in.value));
        REQUIRE(relative_error(reads[b][h][t], at::mv(S.t(), row(in.query))) < 1e-10);
      }
    }
}

// In fp64, where the fixture is not: reads, final states and every gradient, that of Λ too.
TEST_CASE("zoo: MesaNet is its equation", "[memory][zoo]") {
  torch::manual_seed(8);
  for (const Form& form : kForms)
    for (const bool before : {false, true}) {
      INFO(form.kernel << " " << form.tile << " before " << before);
      const auto memory = memory_of("mesa", kH, kK, kV, {form.kernel, form.tile, before ? "before" : "after"});
      set(*memory, "ridge", normal({kH, kK}));
      const at::Tensor ridge = memory->named_parameters()["ridge"];
      const MemoryInput like = random_input(*memory, 9);
      at::Tensor of_memory, of_loop;
      auto ours = [&](const std::vector<at::Tensor>& x) {
        State state;
        const at::Tensor reads = memory->forward(unflat(x, like), state);
        of_memory = torch::autograd::grad({reads.square().sum()}, {ridge}, {}, true)[0];
        return std::vector<at::Tensor>{reads, state.tensor("weights"), state.tensor("keys")};
      };
      auto loop = [&](const std::vector<at::Tensor>& x) {
        const MemoryInput in = unflat(x, like);
        at::Tensor G = at::zeros({kB, kH, kK, kV}, at::kDouble), H = at::zeros({kB, kH, kK, kK}, at::kDouble);
        std::vector<at::Tensor> reads;
        for (int64_t t = 0; t < 9; ++t) {
          auto column = [&](const at::Tensor& y) { return y.select(2, t).unsqueeze(3); };
          auto read = [&] {
            const at::Tensor inverse = at::inverse(H + at::diag_embed(.25 + at::softplus(ridge)));
            reads.push_back(at::matmul(G.transpose(2, 3), at::matmul(inverse, column(in.query))).squeeze(3));
          };
          if (before) read();
          const at::Tensor a = column(in.gate("decay")).exp(), k = column(in.key), b = column(in.gate("beta"));
          G = a * G + at::matmul(b * k, column(in.value).transpose(2, 3)), H = a * H + at::matmul(b * k, k.transpose(2, 3));
          if (!before) read();
        }
        const at::Tensor all = at::stack(reads, 2);
        of_loop = torch::autograd::grad({all.square().sum()}, {ridge}, {}, true)[0];
        return std::vector<at::Tensor>{all, G, H};
      };
      require_same(ours, loop, flat(like), kExact, kExactGradient);
      REQUIRE(relative_error(of_memory, of_loop) <= kExactGradient);
    }
}

TEST_CASE("zoo: rules become each other", "[memory][zoo]") {
  torch::manual_seed(2);
  constexpr int64_t T = 20;
  auto reads = [](Memory& memory, const MemoryInput& like, const Named& gates) {
    MemoryInput in{like.query, like.key, like.value, gates};
    State state;
    const at::Tensor y = memory.forward(in, state);
    return std::pair{y, state.tensor("weights")};
  };
  auto same = [&](const auto& x, const auto& y) {
    REQUIRE(relative_error(x.first, y.first) < kExact);
    REQUIRE(relative_error(x.second, y.second) < kExact);
  };
  auto channels = [](const at::Tensor& x, int64_t n) { return x.expand({kB, kH, T, n}); };
  const auto gdn = memory_of("gated_deltanet", kH, kK, kV), kda = memory_of("kda", kH, kK, kV), gdn2 = memory_of("gdn2", kH, kK, kV),
             gla = memory_of("gla", kH, kK, kV), comba = memory_of("comba", kH, kK, kV), eda = memory_of("eda", kH, kK, kV),
             mesa = memory_of("mesa", kH, kK, kV);
  const MemoryInput in = random_input(*gdn, T);
  const at::Tensor beta = in.gate("beta"), decay = in.gate("decay"), one = at::ones_like(beta), none = at::zeros_like(beta);
  const auto expected = reads(*gdn, in, {{"beta", beta}, {"decay", decay}});

  same(reads(*kda, in, {{"beta", beta}, {"decay", channels(decay, kK)}}), expected);
  const MemoryInput by_channel = random_input(*kda, T);
  const at::Tensor decays = by_channel.gate("decay");
  same(reads(*gdn2, in, {{"erase", channels(beta, kK)}, {"write", channels(beta, kV)}, {"decay", decays}}),
       reads(*kda, in, {{"beta", beta}, {"decay", decays}}));
  same(reads(*gdn2, in, {{"erase", channels(none, kK)}, {"write", channels(one, kV)}, {"decay", decays}}),
       reads(*gla, in, {{"theta", one}, {"decay", decays}}));
  set(*comba, "ask", 50), set(*comba, "correction", 0);
  same(reads(*comba, in, {{"beta", beta}, {"decay", decay}}), expected);
  same(reads(*eda, in, {{"beta", beta}, {"erase", none}, {"address", in.query}, {"decay", decay}}), expected);

  set(*mesa, "ridge", 1e8);  // Λ → ∞: Λ y is linear attention
  const auto ridge = reads(*mesa, in, {{"beta", beta}, {"decay", decay}});
  REQUIRE(relative_error(ridge.first * 1e8, reads(*gla, in, {{"theta", beta}, {"decay", channels(decay, kK)}}).first) < 1e-6);
}

TEST_CASE("zoo: Momentum DeltaNet with b = 1, h = 2 θ is the linear memory with exact gradients", "[memory][zoo]") {
  torch::manual_seed(3);
  constexpr int64_t T = 30;
  for (const bool decayed : {false, true})
    for (const std::string read : {"after", "before"}) {
      INFO("decayed " << decayed << " read " << read);
      MemoryOptions options;
      options.gradient = "exact", options.gradient_at = decayed ? "decayed" : "previous", options.momentum_damping = false;
      const auto linear = memory_of("linear", kH, kK, kV, {"chunked", 8, read}, {}, options);
      const auto momentum = memory_of("momentum_deltanet", kH, kK, kV, {"reference", 64, read}, {{"decayed", decayed ? "true" : "false"}});
      const MemoryInput like = random_input(*momentum, T);
      auto gate = [](double low, double high) { return uniform({kB, kH, T, 1}, low, high); };
      const std::vector<at::Tensor> values{like.query, like.key, like.value, gate(.01, .4), gate(0, .3), gate(0, .9)};
      const at::Tensor step = some_steps(T);
      auto run = [&](const std::shared_ptr<Memory>& memory, bool ours) {
        return [=](const std::vector<at::Tensor>& x) {
          MemoryInput in{x[0], x[1], x[2]};
          if (ours) in.gates = {{"theta", 2 * x[3]}, {"decay", (1 - x[4]).log()}, {"momentum", x[5]}, {"release", at::ones_like(x[3])}};
          else in.gates = {{"theta", x[3]}, {"alpha", x[4]}, {"eta", x[5]}};
          in.step = step;
          State state;
          return std::vector<at::Tensor>{memory->forward(in, state)};
        };
      };
      require_same(run(momentum, true), run(linear, false), values, kExact, kExactGradient);
    }
}

TEST_CASE("zoo: chunked equals the token loop, with padding and every gradient", "[memory][zoo]") {
  torch::manual_seed(4);
  for (const std::string& kind : kKinds)
    for (const std::string read : {"after", "before"})
      for (const bool padded : {false, true}) {
        INFO(kind << " read " << read << " padded " << padded);
        const auto loop = memory_of(kind, kH, kK, kV, {"reference", 64, read});
        MemoryInput in = random_input(*loop, 21);
        if (padded) in.step = some_steps(21);
        const State start = used(*loop);
        for (const int64_t tile : {4, 64})
          require_same(function(memory_of(kind, kH, kK, kV, {"chunked", tile, read}), in, start), function(loop, in, start), flat(in),
                       kExact, kExactGradient);
      }
}

TEST_CASE("zoo: any split into calls equals one call", "[memory][zoo]") {
  torch::manual_seed(5);
  constexpr int64_t T = 19;
  for (const std::string& kind : kKinds)
    for (const std::string read : {"after", "before"})
      for (const bool padded : {false, true}) {
        INFO(kind << " read " << read << " padded " << padded);
        const auto memory = memory_of(kind, kH, kK, kV, {"chunked", 8, read});
        MemoryInput in = random_input(*memory, T);
        if (padded) in.step = some_steps(T);
        State whole;
        const at::Tensor expected = memory->forward(in, whole);
        for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 1, 7, 8, 19}, {18, 19}}) {
          State state;
          std::vector<at::Tensor> reads;
          int64_t first = 0;
          for (const int64_t next : cuts) reads.push_back(memory->forward(part(in, first, next - first), state)), first = next;
          REQUIRE(relative_error(at::cat(reads, 2), expected) <= kExact);
          require_states(state, whole);
          REQUIRE(state.position == T);
        }
      }
}

TEST_CASE("zoo: padding leaves every state as it was, and what remains is a call without it", "[memory][zoo]") {
  torch::manual_seed(6);
  for (const std::string& kind : kKinds) {
    INFO(kind);
    const auto memory = memory_of(kind, kH, kK, kV, {"chunked", 8});
    const State start = used(*memory);
    MemoryInput in = random_input(*memory, 12);
    in.step = at::zeros({kB, 12}, at::kBool);
    State state = start;
    memory->forward(in, state);
    require_states(state, start, 0);

    const at::Tensor kept = at::tensor({0, 3, 4, 8, 11}, at::kLong);
    in.step.index_fill_(1, kept, true);
    MemoryInput dense = in;
    dense.step = at::Tensor();
    for (at::Tensor* x : {&dense.query, &dense.key, &dense.value}) *x = x->index_select(2, kept);
    for (auto& [name, x] : dense.gates) x = x.index_select(2, kept);
    State padded = start, without = start;
    const at::Tensor reads = memory->forward(in, padded).index_select(2, kept);
    REQUIRE(relative_error(reads, memory->forward(dense, without)) <= kExact);
    require_states(padded, without);
  }
}

TEST_CASE("zoo: gradients are finite, at the start and for every parameter; what is read later is what was read", "[memory][zoo]") {
  torch::manual_seed(7);
  for (const std::string& kind : kKinds) {
    INFO(kind);
    const auto memory = memory_of(kind, kH, kK, kV);
    MemoryInput in = random_input(*memory, 9);
    in.step = at::ones({kB, 9}, at::kBool);
    in.step.narrow(1, 0, 3).fill_(false);
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& x : flat(in)) leaves.push_back(leaf(x));
    const MemoryInput live = unflat(leaves, in);
    for (const at::Tensor& p : memory->parameters()) leaves.push_back(p);
    State state;
    const at::Tensor y = memory->forward(live, state);
    REQUIRE(y.sizes() == in.value.sizes());
    for (const at::Tensor& g : torch::autograd::grad({y.square().sum()}, leaves)) {
      REQUIRE(at::isfinite(g).all().item<bool>());
      REQUIRE(g.abs().max().item<double>() > 0);
    }
    if (kind == "comba") set(*memory, "correction", 0);  // no key there
    State again, fresh, readable;
    const at::Tensor reads = memory->forward(in, again);
    readable = memory->readable(again);
    REQUIRE(relative_error(memory->read(in.query, readable).select(2, 8), reads.select(2, 8)) <= kExact);
    REQUIRE(memory->read(in.query, fresh).abs().max().item<double>() == 0);
    REQUIRE(memory->forward(part(in, 0, 0), again).size(2) == 0);
  }
}

TEST_CASE("zoo: at the start a step writes moderately and next to nothing is forgotten", "[memory][zoo]") {
  for (const std::string& kind : kKinds)
    for (const Gate& gate : memory_of(kind, kH, kK, kV)->gates()) {
      INFO(kind << " " << gate.name);
      const bool decays = gate.name.find("decay") != std::string::npos;
      const bool softplus = gate.activation == Gate::Activation::log_decay;
      const double logarithm = softplus ? std::log1p(std::exp(gate.bias)) : gate.scale / (1 + std::exp(-gate.bias));
      if (decays) REQUIRE(std::abs(logarithm) < 1e-4);
      if (gate.writes) REQUIRE(gate.activation == Gate::Activation::sigmoid);
    }
}

TEST_CASE("zoo: Gated DeltaNet with negative eigenvalues has steps up to 2", "[memory][zoo]") {
  for (const bool negative : {false, true})
    REQUIRE(memory_of("gated_deltanet", 1, 2, 2, {}, {{"negative_eigenvalues", negative ? "true" : "false"}})->gates()[0].scale ==
            (negative ? 2 : 1));
}
