// The table of kernels: what is asked, what a memory says of itself, and that options which nothing reads are told.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include <set>

#include "base/text.h"
#include "config/fields.h"
#include "memory/kernel_table.h"
#include "memory/layer.h"
#include "mneme/memory.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

/// A table of three, of which the first takes even tokens, the second those that are divided by `rule`.
std::string odd(const int64_t&, const CallShape& call) { return call.tokens % 2 ? "odd" : ""; }
std::string undivided(const int64_t& rule, const CallShape& call) { return call.tokens % rule ? "undivided" : ""; }

const memory::KernelTable<int64_t, int()> kTable{{"fast", "", "fused", odd, [] { return 1; }},
                                                 {"wide", "", "chunked", undivided, [] { return 2; }},
                                                 {"slow", "", "reference", [](const int64_t& rule, const CallShape&) { return std::string(rule == 7 ? "seven" : ""); },
                                                  [] { return 3; }}};

int chosen(const std::string& asked, int64_t tokens, int64_t rule = 3) { return memory::choose(kTable, asked, rule, CallShape{.tokens = tokens}).run(); }

using Set = std::pair<std::string, std::string>;  // an option and a text; "own.x": one of the kind's own

struct Call {
  bool masked = false, measured = false;
  int64_t tokens = 37;
};

at::Tensor reads_of(AnyMemory options, const std::string& kernel, at::ScalarType dtype, const Call& call) {
  options.kernel = kernel;
  const auto made = MemoryRegistry::instance().get(options.kind).make({options.made(), 2, 8, 8, at::make_generator<at::CPUGeneratorImpl>(3)});
  made->to(dtype);
  at::NoGradGuard no_grad;
  torch::manual_seed(11);
  const int64_t T = call.tokens;
  MemoryInput in{nn::l2_normalize(normal({2, 2, T, 8})), nn::l2_normalize(normal({2, 2, T, 8})), normal({2, 2, T, 8})};
  for (const Gate& g : made->gates()) in.gates[g.name] = uniform({2, 2, T, g.copies}, 0, .4);
  for (at::Tensor* x : {&in.query, &in.key, &in.value}) *x = x->to(dtype);
  for (auto& [name, gate] : in.gates) gate = gate.to(dtype);
  if (call.masked) in.step = at::ones({2, T}, at::kBool), in.step[0][1] = false;
  at::Tensor losses;
  if (call.measured) in.losses = &losses;
  State state;
  return made->forward(in, state);
}

std::string says(AnyMemory options, at::ScalarType dtype, const Call& call) {
  const auto made = MemoryRegistry::instance().get(options.kind).make({options.made(), 2, 8, 8, at::make_generator<at::CPUGeneratorImpl>(3)});
  for (const KernelFit& kernel : made->describe({call.tokens, dtype, true, call.masked, call.measured}).kernels)
    if (kernel.why_not.empty()) return kernel.name;
  return "none";
}

std::string why_not(const AnyMemory& options, const std::string& kernel, const CallShape& call = {.tokens = 1 << 20}) {
  const auto made = MemoryRegistry::instance().get(options.kind).make({options.made(), 2, 8, 8, at::make_generator<at::CPUGeneratorImpl>(3)});
  for (const KernelFit& fit : made->describe(call).kernels)
    if (fit.name == kernel) return fit.why_not;
  return "no such kernel";
}

}  // namespace

TEST_CASE("kernel table: the first that takes the call runs, from the one that memory.kernel names on", "[memory][kernel_table]") {
  CHECK(chosen("auto", 4) == 1);
  CHECK(chosen("auto", 9) == 2);
  CHECK(chosen("auto", 5) == 3);
  CHECK(chosen("fused", 9) == 2);  // what fits only some calls falls back
  CHECK(chosen("chunked", 6) == 2);
  CHECK(chosen("chunked", 4) == 3);
  CHECK(chosen("reference", 6) == 3);
  CHECK(chosen("a name that no kernel has", 4) == 1);
  CHECK_THROWS_WITH(chosen("chunked", 5, 7), Contains("fast: memory.kernel = chunked") && Contains("wide: undivided") && Contains("slow: seven") && Contains("set memory.kernel = auto"));
}

TEST_CASE("kernel table: what a memory says would run is what runs", "[memory][kernel_table]") {
  register_memories();
  const std::vector<Call> calls{{}, {.masked = true}, {.measured = true}, {.tokens = 1}};
  const Call long_call;
  for (const std::string kind : {"linear", "neural_mlp"})
    for (const std::string gradient : {"auto", "refresh", "sweeps"}) {
      if (kind == "linear" && gradient == "sweeps") continue;
      for (const Call& call : calls)
        for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
          AnyMemory o;
          o.kind = kind, o.gradient = gradient, o.refresh = 8, o.guard = kind == "neural_mlp";
          const std::string chosen = says(o, dtype, call);
          INFO(kind << ", " << gradient << ", " << (call.masked ? "masked" : call.measured ? "measured" : "plain") << ", " << call.tokens << " tokens, " << dtype << ": " << chosen);
          const bool intervals = gradient == "sweeps" || (gradient == "refresh" && kind == "neural_mlp");
          const bool fused = dtype == at::kFloat && !call.masked && !call.measured && !(intervals && call.tokens < o.refresh);
          CHECK((chosen == "fused") == fused);
          const at::Tensor reads = reads_of(o, "auto", dtype, call), tiles = reads_of(o, "chunked", dtype, call);
          CHECK(relative_error(reads, tiles) < (dtype == at::kFloat ? kSingle : kExact));
          if (call.tokens > 1) CHECK(at::equal(reads, tiles) == !fused);  // it rounds otherwise
        }
    }
  for (const std::string kind : {"gla", "mesa", "omega"}) {
    AnyMemory o;
    o.kind = kind;
    CHECK(says(o, at::kFloat, long_call) == (kind == "omega" ? "reference" : "chunked"));
    o.kernel = "reference";
    CHECK(says(o, at::kFloat, long_call) == "reference");
  }
}

TEST_CASE("kernel table: the reasons are of the rule or of the call", "[memory][kernel_table]") {
  register_memories();
  auto of = [](const std::string& kind, auto change) {
    AnyMemory o;
    o.kind = kind;
    change(o);
    return o;
  };
  CHECK(why_not(of("linear", [](AnyMemory&) {}), "fused").empty());
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.group = 4; }), "fused"), Contains("a group of 4 tokens"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.read = "before"; }), "fused"), Contains("reads before"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.gradient_at = "decayed"; }), "fused"), Contains("after forgetting"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.inner_loss = "dot"; }), "fused"), Contains("squared losses") && Contains("dot"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.retention_target = "init"; }), "fused"), Contains("initial weights"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.gradient = "refresh"; }), "fused"), Contains("guard"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.gradient = "refresh"; }), "linear tiles"), Contains("exact gradients"));
  CHECK_THAT(why_not(of("linear", [](AnyMemory& o) { o.kernel = "chunked"; }), "fused"), Contains("memory.kernel = chunked"));
  CHECK_THAT(why_not(of("neural_mlp", [](AnyMemory& o) { o.depth = 3; }), "fused"), Contains("not 3 of the form feature"));
  CHECK_THAT(why_not(of("neural_mlp", [](AnyMemory& o) { o.gradient = "sweeps", o.refresh = 128; }), "fused"), Contains("128 tokens is longer"));
  CHECK_THAT(why_not(of("neural_mlp", [](AnyMemory& o) { o.gradient = "refresh", o.clip = 1; }), "fused"), Contains("clip"));
  CHECK_THAT(why_not(of("neural_mlp", [](AnyMemory& o) { o.gradient = "sweeps"; }), "reference"), Contains("no sweeps"));
  const AnyMemory plain;
  CHECK_THAT(why_not(plain, "fused", {.tokens = 8, .dtype = at::kDouble}), Contains("double precision"));
  CHECK_THAT(why_not(plain, "fused", {.tokens = 8, .cpu = false}), Contains("CPU"));
  CHECK_THAT(why_not(plain, "fused", {.tokens = 8, .masked = true}), Contains("no steps"));
  CHECK_THAT(why_not(plain, "linear tiles", {.tokens = 8, .measured = true}), Contains("losses are asked for"));
}

TEST_CASE("unread options: of a rule by steps or terms, an option is refused where, and only where, it changes nothing", "[memory][kernel_table]") {
  register_memories();
  const std::vector<Set> other{
      {"inner_loss", "l2_mean"}, {"huber_delta", "2"}, {"gradient", "refresh"}, {"gradient_at", "decayed"}, {"refresh", "8"}, {"group", "2"},
      {"read", "before"}, {"momentum", "false"}, {"momentum_damping", "false"}, {"forgetting", "false"}, {"retention_target", "init"}, {"clip", "0.01"},
      {"guard", "false"}, {"gate_pooling", "attention"}, {"theta_max", "0.25"}, {"theta_bias", "-1"}, {"alpha_bias", "-2"}, {"eta_bias", "1"},
      {"write_penalty", "0.7"}};
  const std::set<std::string> of_the_layer{"kind", "heads", "head_width", "expand_v", "qk_norm", "keys_per_token", "gate_per_head", "gate_scale", "fixed_gates", "step_cap", "cache", "off", "frozen"},
      of_computation{"kernel", "tile"};
  MemoryOptions usual;
  size_t known = other.size() + of_the_layer.size() + of_computation.size();
  CHECK(fields_of(usual, "").size() == known);  // a new option belongs into one of these

  ModelOptions model;
  model.kind = "lmm", model.width = 8, model.conv_width = 0;
  for (const MemoryPlugin& plugin : MemoryRegistry::instance().all()) {
    if (plugin.name == "linear" || plugin.name == "neural_mlp" || plugin.name == "tnt") continue;  // rules of their own between options
    auto options_with = [&](const Set& base, const Set& more) {
      MemoryOptions o;
      o.kind = plugin.name, o.own = plugin.options ? plugin.options() : nullptr;
      for (const Set* set : {&base, &more}) {
        for (Field& field : fields_of(o, ""))
          if (field.key == set->first) REQUIRE(field.parse(set->second).empty());
        if (set->first.rfind("own.", 0) == 0) set_own(o, set->first.substr(4), set->second);
      }
      return o;
    };
    auto outcome = [&](const MemoryOptions& o) {
      MemoryLayer layer(BlockContext{model, o, 0, at::make_generator<at::CPUGeneratorImpl>(5)});
      at::NoGradGuard no_grad;
      auto generator = at::make_generator<at::CPUGeneratorImpl>(6);
      for (auto& p : layer.named_parameters()) p.value().add_(at::empty_like(p.value()).normal_(0, .3, generator));
      layer.to(at::kDouble);
      at::AutoGradMode with_gradients(true);  // the penalty is of training
      State state;
      ForwardContext context;
      const at::Tensor x = at::empty({2, 12, 8}, at::kDouble).normal_(0, 1, generator);
      return std::make_pair(layer.forward(x, state, context), context.penalty);
    };
    std::vector<Set> bases{{}, {"forgetting", "false"}};  // the kind by default, and where an option or another choice of its own is set
    const MemoryOptions by_default = options_with({}, {});
    if (by_default.own)
      for (const Field& field : fields_of(*by_default.own, ""))
        if (field.type == "choice" || field.type == "truth value")
          for (const std::string& text : split(field.range, '|'))
            if (text != field.text()) bases.push_back({"own." + field.key, text});
    for (const Set& base : bases) {
      Problems of_base;
      const MemoryOptions start = options_with(base, {});
      plugin.check(start, of_base);
      if (!of_base.empty()) continue;
      const auto as_it_starts = outcome(start);
      for (const auto& [name, text] : other) {
        if (name == base.first) continue;
        INFO(plugin.name << ", " << base.first << " = " << base.second << ": " << name << " = " << text);
        const MemoryOptions o = options_with(base, {name, text});
        Problems problems;
        plugin.check(o, problems);
        bool refused = false;
        for (const auto& [key, message] : problems.list()) refused = refused || (key == "memory." + name && message.find("does not read it") != std::string::npos);
        if (!problems.empty() && !refused) continue;  // for another reason
        if (refused && name == "group") continue;     // such a rule has steps of one token: it would not run
        const auto changed = outcome(o);
        const bool same = at::equal(as_it_starts.first, changed.first) && at::equal(as_it_starts.second, changed.second);
        CHECK(refused == same);
      }
    }
  }
}

TEST_CASE("unread options: what would read one is named", "[memory][kernel_table]") {
  register_memories();
  auto said = [](const std::string& kind, const std::vector<Set>& set) {
    const MemoryPlugin& plugin = MemoryRegistry::instance().get(kind);
    MemoryOptions o;
    o.kind = kind, o.own = plugin.options ? plugin.options() : nullptr;
    for (const auto& [name, text] : set) {
      for (Field& field : fields_of(o, ""))
        if (field.key == name) REQUIRE(field.parse(text).empty());
      if (name.rfind("own.", 0) == 0) set_own(o, name.substr(4), text);
    }
    Problems problems;
    plugin.check(o, problems);
    std::string lines;
    for (const auto& [key, message] : problems.list()) lines += key + " " + message + "\n";
    return lines;
  };
  auto but_with = [](const std::string& key, const std::string& kind, const std::string& reader) {
    return key + " memory.kind = " + kind + " does not read it here, but with " + reader + "; set that, or leave it out\n";
  };
  CHECK(said("omega", {{"forgetting", "false"}, {"alpha_bias", "-2"}}) == but_with("memory.alpha_bias", "omega", "memory.forgetting = true"));
  CHECK(said("omega", {{"gate_pooling", "attention"}}) == but_with("memory.gate_pooling", "omega", "memory.group > 1"));
  CHECK(said("miras", {{"eta_bias", "1"}}) == but_with("memory.eta_bias", "miras", "memory.miras.optimizer = momentum"));
  CHECK(said("miras", {{"momentum_damping", "false"}}) == but_with("memory.momentum_damping", "miras", "memory.miras.optimizer = momentum"));
  CHECK(said("miras", {{"momentum", "false"}}) == but_with("memory.momentum", "miras", "memory.miras.optimizer = muon"));  // refused with momentum
  CHECK(said("tnt", {{"own.shard", "1"}, {"guard", "false"}}) == but_with("memory.guard", "tnt", "memory.tnt.shard = 64"));
  CHECK(said("gla", {{"theta_max", "1"}}) == "memory.theta_max memory.kind = gla does not read it; leave it out\n");
  CHECK(said("omega", {{"forgetting", "false"}}).empty());
  CHECK(said("tnt", {{"guard", "false"}}).empty());
}
