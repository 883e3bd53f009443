// Own options of the blocks and memories there are, and the rules between them and those of sections model and memory.
#include "tests/support/test.h"

#include <set>

#include "config/config.h"
#include "base/text.h"
#include "mneme/model.h"

using namespace mneme;
using Catch::Contains;

namespace {

std::vector<std::string> config_problems(const std::string& ini, const std::vector<std::string>& overrides = {}) {
  make_plugins_known();
  Settings settings = Settings::from_text(ini, "x.ini");
  if (settings.find("model.kind") == nullptr) settings.set("model.kind", "lmm", "test");
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  std::vector<std::string> problems = try_resolve(settings, DataFiles::may_be_missing).problems;
  std::erase_if(problems, [](const std::string& line) { return line.find("task.kind") != std::string::npos; });  // this program knows none
  return problems;
}

// The one problem of a config, or all of them for the failure message.
std::string problem(const std::string& ini, const std::vector<std::string>& overrides = {}) {
  const auto problems = config_problems(ini, overrides);
  return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems: " + join(problems, " / ");
}

}  // namespace

TEST_CASE("plug-ins: rules between options name both", "[models][options]") {
  CHECK_THAT(problem("[model]\nkind = mag\nwidth = 6\nheads = 2"), Contains("width 3") && Contains("positions = rope needs an even one"));
  CHECK_THAT(problem("[memory]\ngradient = exact_last"), Contains("auto | exact | refresh"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\ngradient = exact"), Contains("auto | refresh | exact_last"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\ngradient = sweeps\nkernel = reference"), Contains("has no sweeps"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\ngradient = exact_last\n[memory.neural_mlp]\nform = residual+norm"), Contains("set memory.gradient = refresh"));
  CHECK_THAT(problem("[memory]\ninner_loss = huber"), Contains("set memory.gradient = refresh"));
  CHECK_THAT(problem("[memory]\nclip = 1"), Contains("set memory.gradient = refresh"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\n[memory.neural_mlp]\nfast_gain = true"), Contains("needs a norm"));
  CHECK_THAT(problem("[memory]\ngradient = refresh\ngradient_at = decayed"), Contains("is for exact gradients"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\ngradient_at = decayed\n[memory.neural_mlp]\nform = residual+norm"), Contains("is for exact gradients"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\nfeatures = 2"), Contains("memory.linear.features'"));
  CHECK_THAT(problem("[memory]\nkind = neural_mlp\ngroup = 5"), Contains("does not divide memory.refresh = 64; choose a divisor"));
  CHECK(config_problems("[memory]\ngroup = 5").empty());  // exact gradients of a matrix need no refresh
  CHECK_THAT(problem("[memory]\ncache = 8\ninner_loss = dot"), Contains("memory.cache = 8") && Contains("set memory.inner_loss = l2"));
  CHECK_THAT(problem("[memory]\nstep_cap = 1\ngroup = 4"), Contains("memory.step_cap = 1") && Contains("set memory.group = 1"));
  CHECK_THAT(problem("[memory]\nkind = longhorn\nstep_cap = 1"), Contains("memory.step_cap = 1") && Contains("has no forgetting gate"));
  CHECK(config_problems("[memory]\nfixed_gates = alpha, eta").empty());
  CHECK_THAT(problem("[memory]\nfixed_gates = alpha, beta"),
             Contains("memory.fixed_gates = alpha, beta") && Contains("has no gate 'beta'") && Contains("theta, alpha, eta"));
  CHECK_THAT(problem("[memory]\nfixed_gates = alpha\nforgetting = false"), Contains("has no gate 'alpha'") && Contains("there are theta, eta"));
  CHECK_THAT(problem("[memory]\nkind = tnt\n[memory.tnt]\nshard = 10\nchunks = 5, 4"), Contains("memory.tnt.chunks") && Contains("4, which does not divide"));
  CHECK_THAT(problem("[model]\nkind = mag\n[memory]\nkind = none"), Contains("allowed:"));
}

TEST_CASE("plug-ins: what titans_pytorch fixes cannot be chosen otherwise, and nothing is ignored in silence", "[models][options]") {
  const std::string base = "[model]\nkind = titans_pytorch\n[memory]\nkind = neural_mlp\n";
  CHECK(config_problems(base + "group = 4\nmomentum = false\nforgetting = false\nfrozen = true\nqk_norm = rms\ntheta_max = .1").empty());
  CHECK(config_problems(base + "read = after\ninner_loss = l2_mean").empty());  // as it is anyway
  for (const std::string line : {"read = before", "keys_per_token = 2", "clip = 1", "inner_loss = huber", "gate_pooling = attention",
                                  "gradient = exact_last", "retention_target = init", "gate_scale = 2", "expand_v = 2", "step_cap = 1",
                                  "cache = 4"}) {
    CAPTURE(line);
    CHECK_THAT(problem(base + line), Contains("memory." + line) && Contains("is fixed to") && Contains("leave it out"));
  }
  CHECK_THAT(problem(base, {"model.memory_layers=0"}), Contains("model.memory_layers") && Contains("leave it out"));
  CHECK_THAT(problem(base, {"model.persistent_tokens=2"}), Contains("allowed: 0"));
}

TEST_CASE("plug-ins: options are set by name, and a wrong name or text says what there is", "[models][options]") {
  make_plugins_known();
  MemoryOptions options;
  options.kind = "neural_mlp";
  set_own(options, "depth", "3");
  CHECK_THROWS_WITH(set_own(options, "depth", "9"), Contains("neural_mlp.depth = 9: 9 is out of range; allowed: 1 … 4"));
  CHECK_THROWS_WITH(set_own(options, "features", "2"), Contains("neural_mlp.features: there is no such option; there are depth, expansion"));
  MemoryOptions of_other = options;
  of_other.kind = "linear";
  CHECK_THROWS_WITH(MemoryRegistry::instance().get("linear").make({of_other, 1, 4, 4, {}}), Contains("options of another plug-in"));
}

TEST_CASE("plug-ins: an option at its default is no part of a run's identity, any other is", "[models][options]") {
  make_plugins_known();
  auto hash = [](const std::string& ini) {
    return config_hash(try_resolve(Settings::from_text("[model]\nkind = mag\n" + ini, "x.ini"), DataFiles::may_be_missing).config);
  };
  const std::string plain = hash("");
  CHECK(hash("[memory.linear]\nfeatures = 0\n[model.mac]\nsegment = 9") == plain);
  CHECK(hash("[memory]\nrefresh = 64") == plain);
  CHECK(hash("[memory.linear]\nfeatures = 1") != plain);
  CHECK(hash("[memory]\nkind = neural_mlp") != plain);
  CHECK(hash("[memory]\nkind = neural_mlp\n[memory.linear]\nfeatures = 1") == hash("[memory]\nkind = neural_mlp"));
}

TEST_CASE("plug-ins: matrices of any block decay, gates, norms, taps, embeddings and memory starts do not", "[models][options]") {
  make_plugins_known();
  const std::set<std::string> not_decayed{"gate", "gate_now", "pool", "conv", "embedding", "positions", "persistent", "lower_step", "features",
                                          "to_adaptive_step_weight", "to_momentum_weight", "to_decay_factor_weight", "retrieve_gate"};
  for (const BlockPlugin& block : BlockRegistry::instance().all())
    for (const MemoryPlugin& memory : MemoryRegistry::instance().all()) {
      ModelOptions m;
      m.kind = block.name, m.persistent_tokens = block.name == "titans_pytorch" ? 0 : 2, m.positions = "learned", m.conv_width = 4, m.tie_embeddings = false;
      MemoryOptions o;
      o.kind = memory.name, o.heads = 2;
      SequenceModel model(m, o, {16, 32}, 1);
      for (const auto& p : model.named_parameters()) {
        const std::string leaf = p.key().substr(p.key().rfind('.') + 1);
        INFO(block.name << " " << memory.name << " " << p.key() << " " << p.value().sizes());
        const bool of_memory = p.key().find("gates.") != std::string::npos || p.key().find("memory.memory.") != std::string::npos;
        const bool expected = p.value().dim() == 2 && !of_memory && !not_decayed.count(leaf);
        CHECK(model.decays(p.key()) == expected);
      }
    }
}
