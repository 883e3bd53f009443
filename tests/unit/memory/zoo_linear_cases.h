// The memories with a linear state, driven as a layer drives them, gates by hand: how test_zoo_linear.cpp and test_zoo_linear_numbers.cpp make
// them, their inputs and what they compare.
#pragma once

#include "tests/golden/golden.h"
#include "tests/support/memory_options.h"

#include <cmath>
#include <map>

#include "config/fields.h"
#include "mneme/memory.h"
#include "nn/row_norm.h"

namespace mneme::test {

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

inline std::shared_ptr<Memory> memory_of(const std::string& kind, int64_t H, int64_t K, int64_t V, const Form& form = {}, const Own& own = {},
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

inline void set(Memory& memory, const std::string& name, const at::Tensor& value) {
  const at::NoGradGuard none;
  at::Tensor parameter = memory.named_parameters()[name];
  parameter.copy_(value.expand_as(parameter));
}
inline void set(Memory& memory, const std::string& name, double value) { set(memory, name, at::full({}, value, at::kDouble)); }

// [B,T,H] or [B,T,H,n] → [B,H,T,n] and back.
inline at::Tensor heads(const at::Tensor& x) { return (x.dim() == 3 ? x.unsqueeze(3) : x).transpose(1, 2); }
inline at::Tensor tokens(const at::Tensor& x) { return x.transpose(1, 2); }

// --- the fixture

inline Named tensors(const nlohmann::json& json) {
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

inline void require_gradients(const Named& got, const Named& expected, const std::vector<std::string>& names, double exact = kExactGradient) {
  for (const std::string& name : names) {
    INFO("gradient of " << name);
    REQUIRE(got.count(name));
    REQUIRE(relative_error(got.at(name), expected.at(name)) <= exact);
  }
}

inline MemoryInput input_of(const Named& x, const Named& gates) {
  MemoryInput input{heads(x.at("q")), heads(x.at("k")), heads(x.at("v"))};
  for (const auto& [name, value] : gates) input.gates[name] = heads(value);
  return input;
}

// Reads and the final state of a memory that starts at the fixture's state.
inline Named run(Memory& memory, const Named& x, const Named& gates) {
  State state;
  memory.start(state, x.at("q").size(0));
  state.tensor("weights") = x.at("initial_state");
  const at::Tensor reads = memory.forward(input_of(x, gates), state);
  return {{"reads", tokens(reads)}, {"state", state.tensor("weights")}};
}

using Gates = std::function<Named(const Named&)>;

// Every input of the fixture is one of the memory.
inline void require_rule(const std::string& name, const std::string& kind, const Gates& gates) {
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

inline MemoryInput random_input(const Memory& memory, int64_t T, int64_t K = kK, int64_t V = kV) {
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
inline State used(Memory& memory) {
  const at::NoGradGuard none;
  State state;
  memory.forward(random_input(memory, 4), state);
  return state;
}

inline void require_states(const State& a, const State& b, double tolerance = kExact) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO("state " << x[i].first);
    REQUIRE(x[i].first == y[i].first);
    if (x[i].first != "position") REQUIRE(relative_error(x[i].second, y[i].second) <= tolerance);
  }
}

inline std::vector<at::Tensor> flat(const MemoryInput& in) {
  std::vector<at::Tensor> all{in.query, in.key, in.value};
  for (const auto& [name, x] : in.gates) all.push_back(x);
  return all;
}
inline MemoryInput unflat(const std::vector<at::Tensor>& all, const MemoryInput& like) {
  MemoryInput in{all[0], all[1], all[2]};
  size_t i = 3;
  for (const auto& [name, x] : like.gates) in.gates[name] = all[i++];
  in.step = like.step;
  return in;
}

// Inputs → reads, losses, final state.
inline Function function(const std::shared_ptr<Memory>& memory, const MemoryInput& like, const State& start) {
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

inline at::Tensor some_steps(int64_t T) { return uniform({kB, T}, 0, 1) < .6; }

}  // namespace mneme::test
