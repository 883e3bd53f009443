// The layer around a memory, its gates and the memory's own options against their definition, token by token: outputs, penalty,
// the gradient of every parameter.
#include "mneme/model.h"
#include "memory/layer.h"
#include "tests/unit/models/by_hand_memory_layer.h"
#include "tests/support/memory_options.h"
#include "tests/unit/models/same_by_name.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kLayerRows = 2, kLayerTokens = 19, kLayerWidth = 8;

struct LayerChoice {
  std::string name;
  void (*change)(ModelOptions& m, AnyMemory& o);
  bool masked = false;
};

const std::vector<LayerChoice>& layer_choices() {
  static const std::vector<LayerChoice> all{
      {"defaults", [](ModelOptions&, AnyMemory&) {}},
      {"no convolution, no norm, undamped", [](ModelOptions& m, AnyMemory& o) { m.conv_width = 0, o.qk_norm = "none", o.momentum_damping = false; }},
      {"rms, heads of 3", [](ModelOptions&, AnyMemory& o) { o.qk_norm = "rms", o.head_width = 3; }},
      {"no momentum", [](ModelOptions&, AnyMemory& o) { o.momentum = false; }},
      {"no forgetting", [](ModelOptions&, AnyMemory& o) { o.forgetting = false; }},
      {"towards zero", [](ModelOptions&, AnyMemory& o) { o.retention_target = "zero"; }},
      {"towards the initial weights", [](ModelOptions&, AnyMemory& o) { o.retention_target = "init"; }},
      {"gates shared by layers", [](ModelOptions&, AnyMemory& o) { o.gate_per_matrix = false; }},
      {"gates shared by heads", [](ModelOptions&, AnyMemory& o) { o.gate_per_head = false; }},
      {"gates shared by all, three keys", [](ModelOptions&, AnyMemory& o) { o.gate_per_matrix = o.gate_per_head = false, o.keys_per_token = 3; }},
      {"two keys, read before", [](ModelOptions&, AnyMemory& o) { o.keys_per_token = 2, o.read = "before"; }},
      {"persistent tokens", [](ModelOptions& m, AnyMemory&) { m.persistent_tokens = 3; }},
      {"groups, persistent", [](ModelOptions& m, AnyMemory& o) { m.persistent_tokens = 3, o.group = 4; }},
      {"groups by attention", [](ModelOptions&, AnyMemory& o) { o.group = 4, o.gate_pooling = "attention"; }, true},
      {"groups by attention, two keys, read before",
       [](ModelOptions&, AnyMemory& o) { o.group = 2, o.gate_pooling = "attention", o.keys_per_token = 2, o.read = "before"; }},
      {"masked", [](ModelOptions&, AnyMemory&) {}, true},
      {"stale, guarded", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh"; }},
      {"stale groups, guarded, mean loss", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh", o.group = 2, o.inner_loss = "l2_mean"; }},
      {"stale, clipped", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh", o.clip = 0.3, o.guard = false; }},
      {"stale, dot", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh", o.inner_loss = "dot"; }},
      {"stale, Huber", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh", o.inner_loss = "huber", o.huber_delta = 0.4; }},
      {"at decayed weights, negative eigenvalues", [](ModelOptions&, AnyMemory& o) { o.gradient_at = "decayed", o.theta_max = 1; }},
      {"plain, three matrices, twice as wide", [](ModelOptions&, AnyMemory& o) { o.form = "plain", o.depth = 3, o.expansion = 2; }},
      {"feature, three matrices, sigmoid gelu", [](ModelOptions&, AnyMemory& o) { o.depth = 3, o.activation = "gelu_sigmoid"; }},
      {"norm", [](ModelOptions&, AnyMemory& o) { o.form = "residual+norm", o.theta_max = 0.1; }},
      {"norm, fast gain, groups", [](ModelOptions&, AnyMemory& o) { o.form = "residual+norm", o.fast_gain = true, o.group = 2, o.theta_max = 0.1; }},
      {"slow features", [](ModelOptions&, AnyMemory& o) { o.features = 2; }},
      {"a cache of 3, persistent", [](ModelOptions& m, AnyMemory& o) { o.cache = 3, m.persistent_tokens = 3; }},
      {"a cache of 4, masked, rms", [](ModelOptions&, AnyMemory& o) { o.cache = 4, o.qk_norm = "rms", o.head_width = 3; }, true},
      {"a cache of 2, two keys, read before", [](ModelOptions&, AnyMemory& o) { o.cache = 2, o.keys_per_token = 2, o.read = "before"; }, true},
      {"a cache of 3, groups of 2, stale, Huber",
       [](ModelOptions&, AnyMemory& o) { o.cache = 3, o.group = 2, o.gradient = "refresh", o.inner_loss = "huber", o.huber_delta = 0.4; }, true},
      {"a cache larger than the row", [](ModelOptions&, AnyMemory& o) { o.cache = 100; }},
      {"step fixed", [](ModelOptions&, AnyMemory& o) { o.fixed_gates = "theta"; }},
      {"forgetting fixed", [](ModelOptions&, AnyMemory& o) { o.fixed_gates = "alpha"; }},
      {"step and momentum fixed, groups", [](ModelOptions&, AnyMemory& o) { o.fixed_gates = "theta, eta", o.group = 2; }, true},
      {"capped steps", [](ModelOptions&, AnyMemory& o) { o.step_cap = 0.8; }},
      {"capped steps, shared gates, a cache", [](ModelOptions&, AnyMemory& o) { o.step_cap = 2, o.gate_per_matrix = false, o.cache = 3; }, true},
  };
  return all;
}

struct Case {
  ModelOptions model;
  AnyMemory memory;
  std::shared_ptr<MemoryLayer> layer;
};

Case make(const std::string& kind, const LayerChoice& choice) {
  Case c;
  c.model.kind = "lmm", c.model.width = kLayerWidth, c.model.conv_width = 3;
  c.memory.kind = kind, c.memory.heads = 2, c.memory.init = "random", c.memory.refresh = 4, c.memory.tile = 8;
  // gates that differ, open, and none at its default
  c.memory.gate_scale = 2, c.memory.theta_max = 0.4, c.memory.theta_bias = -0.5, c.memory.alpha_bias = -1.5, c.memory.eta_bias = 0.3, c.memory.write_penalty = 0.7;
  choice.change(c.model, c.memory);
  if (!c.memory.possible()) return c;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  c.layer = std::make_shared<MemoryLayer>(BlockContext{c.model, c.memory.made(), 0, generator});
  at::NoGradGuard no_grad;
  for (auto& p : c.layer->parameters()) p.add_(at::empty_like(p).normal_(0, 0.3, generator));
  c.layer->to(at::kDouble);
  return c;
}

at::Tensor some_padding() {
  at::Tensor mask = at::ones({kLayerRows, kLayerTokens}, at::kBool);
  mask[0].narrow(0, 3, 6).fill_(false), mask[1][0] = false, mask[1].slice(0, 2, 16, 5).fill_(false);
  return mask;
}

}  // namespace

TEST_CASE("memory layer: it is its definition, token by token, gradients too", "[models][by_hand]") {
  register_memories();
  torch::manual_seed(3);
  for (const std::string kind : {"linear", "neural_mlp"})
    for (const LayerChoice& choice : layer_choices()) {
      INFO(kind << ", " << choice.name);
      const Case c = make(kind, choice);
      if (!c.layer) continue;  // options of the other memory
      const at::Tensor x = normal({kLayerRows, kLayerTokens, kLayerWidth}), mask = choice.masked ? some_padding() : at::Tensor();
      auto found = [&](const at::Tensor& input) {
        State state;
        ForwardContext context;
        context.mask = mask;
        const at::Tensor y = c.layer->forward(input, state, context);
        return Computed{y, context.penalty};
      };
      auto expected = [&](const at::Tensor& input) {
        const auto r = by_hand::memory_layer(c.model, c.memory, by_hand::parameters_of(*c.layer), input, mask);
        return Computed{r.y, r.penalty};
      };
      require_same_by_name(*c.layer, x, found, expected);
    }
}

TEST_CASE("memory layer: off it reads its initial weights; frozen it does so in evaluation only", "[models][by_hand]") {
  register_memories();
  torch::manual_seed(4);
  for (const std::string kind : {"linear", "neural_mlp"})
    for (const bool off : {true, false})
      for (const bool training : {true, false}) {
        INFO(kind << (off ? ", off" : ", frozen") << (training ? " in training" : " in evaluation"));
        Case c = make(kind, {"", [](ModelOptions& m, AnyMemory&) { m.persistent_tokens = 2; }});
        (off ? c.memory.off : c.memory.frozen) = true;
        const auto layer = std::make_shared<MemoryLayer>(BlockContext{c.model, c.memory.made(), 0, at::make_generator<at::CPUGeneratorImpl>(5)});
        layer->to(at::kDouble);
        {
          at::NoGradGuard no_grad;
          for (auto& p : layer->named_parameters()) p.value().copy_(c.layer->named_parameters()[p.key()]);
        }
        layer->train(training);
        const bool writes = !off && training;
        auto found = [&](const at::Tensor& input) {
          State state;
          ForwardContext context;
          const at::Tensor y = layer->forward(input, state, context);
          REQUIRE(state.has_child("memory") == writes);
          return Computed{y, context.penalty};
        };
        auto expected = [&](const at::Tensor& input) {
          const auto r = by_hand::memory_layer(c.model, c.memory, by_hand::parameters_of(*layer), input, {}, writes);
          return Computed{r.y, r.penalty};
        };
        require_same_by_name(*layer, normal({kLayerRows, kLayerTokens, kLayerWidth}), found, expected, [&](const std::string& name) {
          return !writes && (name == "gates.gate" || name == "memory.lower_step");
        });
      }
}
