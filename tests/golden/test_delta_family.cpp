// The recurrence of linear states against numbers of flash-linear-attention's naive token loops (fp64): every rule as decay, erase
// address, erased direction, write key and written value; reads, final states and every gradient.
#include "tests/golden/golden.h"

#include <cmath>
#include <map>

#include "memory/linear_recurrence.h"
#include "memory/network_kernels.h"

using namespace mneme;
using namespace mneme::test;
using memory::LinearRecurrence;

namespace {

using Named = std::map<std::string, at::Tensor>;
using Form = at::Tensor (*)(const LinearRecurrence&, at::Tensor&);

Named tensors(const nlohmann::json& json) {
  Named r;
  for (const auto& [name, value] : json.items()) r[name] = golden_tensor(value);
  return r;
}

// [B,T,H] or [B,T,H,·] ↔ [B,H,T,·]
at::Tensor by_head(const at::Tensor& x) { return (x.dim() == 3 ? x.unsqueeze(3) : x).transpose(1, 2); }

// From the fixture's inputs, by head and without states, to the call.
using Rule = std::function<LinearRecurrence(const Named& x)>;

Named run(const Named& inputs, const Rule& rule, Form form, int64_t tile) {
  Named x;
  for (const auto& [name, value] : inputs)
    if (name.find("initial") != 0) x[name] = by_head(value);
  LinearRecurrence call = rule(x);
  call.tile = tile;
  at::Tensor state = inputs.at("initial_state");
  const at::Tensor reads = form(call, state);
  return {{"reads", reads.transpose(1, 2)}, {"state", state}};
}

// Outputs and gradients of Σ outputs · cotangents as the fixture has them.
void require_case(const std::string& name, const std::function<Named(const Named&)>& f) {
  static const auto cases = golden("delta_family.json").at("cases");
  const auto& fixture = cases.at(name);
  Named inputs = tensors(fixture.at("inputs"));
  const Named outputs = tensors(fixture.at("outputs")), cotangents = tensors(fixture.at("cotangents")),
              gradients = tensors(fixture.at("gradients"));
  std::vector<at::Tensor> leaves;
  for (auto& [key, value] : inputs) leaves.push_back(value.requires_grad_(true));
  const Named got = f(inputs);
  REQUIRE(got.size() == outputs.size());
  at::Tensor sum = at::zeros({}, at::kDouble);
  for (const auto& [key, value] : outputs) {
    INFO(name << ": " << key);
    REQUIRE(relative_error(got.at(key), value) <= kExact);
    sum = sum + (got.at(key) * cotangents.at(key)).sum();
  }
  const auto derived = torch::autograd::grad({sum}, leaves);
  REQUIRE(gradients.size() == leaves.size());
  size_t i = 0;
  for (const auto& [key, value] : inputs) {
    INFO(name << ": gradient of " << key);
    REQUIRE(relative_error(derived[i++], gradients.at(key)) <= kExactGradient);
  }
}

void require_rule(const std::string& name, const Rule& rule) {
  require_case(name, [&](const Named& x) { return run(x, rule, memory::linear_recurrence_reference, 64); });
  for (int64_t tile : {1, 4, 64}) require_case(name, [&](const Named& x) { return run(x, rule, memory::linear_recurrence_chunked, tile); });
}

// S = diag(a) S; S += k (u − (b ⊙ p)ᵀ S): reading the decayed state is reading with a ⊙ b ⊙ p before the decay.
LinearRecurrence delta_rule(const Named& x, const at::Tensor& p, const at::Tensor& b, const at::Tensor& u) {
  const at::Tensor& g = x.at("g");
  return {x.at("q"), x.at("k"), u, g, g.exp() * b * p};
}

}  // namespace

TEST_CASE("delta family: scalar decay and gated linear attention erase nothing", "[memory][golden]") {
  require_rule("scalar_decay", [](const Named& x) { return LinearRecurrence{x.at("q"), x.at("k"), x.at("v"), x.at("g")}; });
  require_rule("gla", [](const Named& x) { return LinearRecurrence{x.at("q"), x.at("k"), x.at("v"), x.at("gk")}; });
}

TEST_CASE("delta family: Gated DeltaNet, Kimi Delta Attention, Gated DeltaNet-2, Comba", "[memory][golden]") {
  const Rule scalar_step = [](const Named& x) { return delta_rule(x, x.at("k"), x.at("beta"), x.at("beta") * x.at("v")); };
  require_rule("gated_delta_rule", scalar_step);
  require_rule("kda", scalar_step);
  require_rule("gdn2", [](const Named& x) { return delta_rule(x, x.at("k"), x.at("b"), x.at("w") * x.at("v")); });
  require_rule("comba", [](const Named& x) { return delta_rule(x, x.at("p"), x.at("beta"), x.at("beta") * x.at("v")); });
}

TEST_CASE("delta family: DeltaProduct is three steps a token: the first decays, the last is read", "[memory][golden]") {
  constexpr int64_t kSteps = 3;
  for (Form form : {memory::linear_recurrence_reference, memory::linear_recurrence_chunked})
    require_case("gated_delta_product_3", [&](const Named& inputs) {
      // [B,T,…] → [B,3T,…], zero but for one of three.
      auto spread = [&](const at::Tensor& x, int64_t at_step) {
        std::vector<at::Tensor> steps(kSteps, at::zeros_like(x));
        steps[at_step] = x;
        return at::stack(steps, 2).flatten(1, 2);
      };
      Named x = inputs;
      x["g"] = spread(inputs.at("g"), 0), x["q"] = spread(inputs.at("q"), kSteps - 1);
      Named r = run(x, [](const Named& y) { return delta_rule(y, y.at("k"), y.at("beta"), y.at("beta") * y.at("v")); }, form, 64);
      r["reads"] = r["reads"].slice(1, kSteps - 1, c10::nullopt, kSteps);
      return r;
    });
}

TEST_CASE("delta family: RWKV-7 erases from the state before the decay, along a direction of its own", "[memory][golden]") {
  require_rule("dplr_rwkv7", [](const Named& x) {
    return LinearRecurrence{x.at("q"), x.at("k"), x.at("v"), x.at("gk"), -x.at("alpha"), x.at("beta")};
  });
}

// q, k of length 1; A = e^{g'} A + β' k²; r = log(A + 1e-6) + .2; what is written along is k̃ = k · 1.5^{−r/(1+|r|)}.
TEST_CASE("delta family: preconditioned Gated DeltaNet writes along a rescaled key", "[memory][golden]") {
  for (Form form : {memory::linear_recurrence_reference, memory::linear_recurrence_chunked})
    require_case("precond_gated_delta_rule", [&](const Named& inputs) {
      at::Tensor A = inputs.at("initial_A");
      Named x = inputs;
      for (const char* unit : {"q", "k"}) x[unit] = inputs.at(unit) / inputs.at(unit).norm(2, -1, true);
      const at::Tensor k = x["k"];
      std::vector<at::Tensor> scaled;
      for (int64_t t = 0; t < k.size(1); ++t) {
        auto gate = [&](const char* name) { return inputs.at(name).select(1, t).unsqueeze(2); };
        A = gate("g_atk").exp() * A + gate("beta_atk") * k.select(1, t).square();
        const at::Tensor r = (A + 1e-6).log() + .2;
        scaled.push_back(k.select(1, t) * at::exp(-std::log(1.5) * r / (1 + r.abs())));
      }
      x["scaled"] = at::stack(scaled, 1);
      const Rule rule = [](const Named& y) {
        LinearRecurrence call = delta_rule(y, y.at("k"), y.at("beta"), y.at("beta") * y.at("v"));
        call.write_key = y.at("scaled");
        return call;
      };
      Named r = run(x, rule, form, 64);
      r["preconditioner"] = A;
      return r;
    });
}

// S = M, its momentum = −M of theirs; θ = η/2. Theirs has the erase address p apart from the key, here one key: gradients add up. β = 1.
TEST_CASE("delta family: Momentum DeltaNet with p = k and β = 1 is the linear memory with exact gradients", "[memory][golden]") {
  const auto fixture = golden("delta_family.json").at("cases").at("momentum_delta_rule_titans");
  Named x = tensors(fixture.at("inputs")), gradients = tensors(fixture.at("gradients"));
  const Named outputs = tensors(fixture.at("outputs")), cotangents = tensors(fixture.at("cotangents"));
  REQUIRE(at::equal(x.at("p"), x.at("k")));
  gradients["k"] = gradients["k"] + gradients["p"];
  for (const char* other : {"p", "beta"}) x.erase(other);
  std::vector<at::Tensor> leaves;
  for (auto& [key, value] : x) leaves.push_back(value.requires_grad_(true));
  const at::Tensor S = x.at("initial_S");
  for (int64_t tile : {4, 64}) {
    auto input = [&](const char* name) { return by_head(x.at(name)); };
    memory::NetworkCall call;
    call.net.depth = 1, call.net.form = memory::Form::plain;
    call.query = input("q"), call.key = input("k"), call.value = input("v");
    call.theta = input("eta") / 2, call.alpha = 1 - input("log_alpha").exp(), call.eta = input("log_mu").exp();
    call.tile = tile;
    memory::NetworkWeights w{{S}, {-x.at("initial_M")}};
    const at::Tensor reads = memory::network_linear(call, w).transpose(1, 2);
    const at::Tensor state = at::stack({w.weights[0], -w.momentum[0]});
    REQUIRE(relative_error(reads, outputs.at("reads")) <= kExact);
    REQUIRE(relative_error(state, outputs.at("state")) <= kExact);
    const auto derived = torch::autograd::grad({(reads * cotangents.at("reads")).sum() + (state * cotangents.at("state")).sum()}, leaves);
    size_t i = 0;
    for (const auto& [key, value] : x) {
      INFO("gradient of " << key);
      REQUIRE(relative_error(derived[i++], gradients.at(key)) <= kExactGradient);
    }
  }
}
