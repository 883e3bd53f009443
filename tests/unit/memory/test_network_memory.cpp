// Registered memories by their options: whatever kernel is chosen, the token loop's reads and state.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "mneme/memory.h"
#include "mneme/random.h"
#include "nn/row_norm.h"
#include "tests/support/poisoned.h"

using namespace mneme;
using namespace mneme::test;

namespace {

std::shared_ptr<Memory> make(AnyMemory options, int64_t width, at::ScalarType dtype = at::kDouble) {
  register_memories();
  auto memory = MemoryRegistry::instance().get(options.kind).make({options.made(), 2, width, width, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  at::NoGradGuard no_grad;
  torch::manual_seed(4);
  for (at::Tensor& p : memory->parameters()) p.add_(at::randn_like(p) * .3);
  memory->to(dtype);
  return memory;
}

MemoryInput random_input(const Memory& memory, int64_t T, int64_t width, double theta = .45) {
  const at::Tensor q = nn::l2_normalize(normal({2, 2, T, width})), k = nn::l2_normalize(normal({2, 2, T, width})), v = normal({2, 2, T, width});
  const std::map<std::string, double> highest{{"theta", theta}, {"alpha", .2}, {"eta", .8}};
  MemoryInput in{q, k, v};
  for (const Gate& g : memory.gates()) in.gates[g.name] = uniform({2, 2, T, g.copies}, 0, highest.at(g.name));
  return in;
}

std::vector<at::Tensor*> tensors_of(MemoryInput& in) {
  std::vector<at::Tensor*> all{&in.query, &in.key, &in.value};
  for (auto& [name, gate] : in.gates) all.push_back(&gate);
  return all;
}

struct Result {
  at::Tensor reads;
  State state;
};

Result run(AnyMemory options, const std::string& kernel, double theta = .45, at::ScalarType dtype = at::kDouble) {
  options.kernel = kernel;
  const auto memory = make(options, 6, dtype);
  at::NoGradGuard no_grad;
  MemoryInput in = random_input(*memory, 37, 6, theta);
  for (at::Tensor* x : tensors_of(in)) *x = x->to(dtype);
  Result r;
  r.reads = memory->forward(in, r.state);
  return r;
}

/// Tokens first … first + steps − 1 of `all`. A layer knows a group's α and η at the group's last token only: elsewhere stands what it
/// knew by then, which differs from call to call. Here that is noise.
MemoryInput part(const MemoryInput& all, int64_t first, int64_t steps, int64_t group) {
  auto cut = [&](const at::Tensor& x) { return x.narrow(2, first, steps); };
  auto slow = [&](const at::Tensor& x) {
    const at::Tensor last = (at::arange(first, first + steps) + 1).remainder(group) == 0;
    return at::where(last.view({1, 1, steps, 1}), cut(x), at::rand_like(cut(x)));
  };
  MemoryInput in{cut(all.query), cut(all.key), cut(all.value)};
  for (const auto& [name, gate] : all.gates) in.gates[name] = name == "theta" ? cut(gate) : slow(gate);
  if (all.step.defined()) in.step = all.step.narrow(1, first, steps);
  return in;
}

struct GroupedCase {
  std::string kind, gradient;
  int64_t depth = 1, group = 4;
  bool momentum = true, damping = true, guard = true, decayed = false, masked = false;
};

std::vector<GroupedCase> grouped_cases() {
  std::vector<GroupedCase> all;
  for (bool momentum : {true, false})
    for (bool damping : {true, false}) {
      for (int64_t depth : {1, 2}) all.push_back({"neural_mlp", "refresh", depth, 4, momentum, damping});
      all.push_back({"linear", "refresh", 1, 8, momentum, damping});
    }
  all.push_back({"neural_mlp", "refresh", 2, 4, true, true, false});
  all.push_back({"neural_mlp", "refresh", 2, 16, true, true, true, false, true});
  all.push_back({"neural_mlp", "exact_last", 2, 4, true, true, true, true});
  all.push_back({"neural_mlp", "sweeps", 2, 4, true, true, true, false, true});
  all.push_back({"linear", "exact", 1, 5, true, true, true, true});
  return all;
}

}  // namespace

TEST_CASE("memories: the chosen kernel gives what the token loop gives, at every depth and form", "[memory]") {
  for (const std::string form : {"plain", "feature", "residual+norm"})
    for (int64_t depth : {1, 2, 3})
      for (const std::string target : {"zero", "init"}) {
        INFO(form << ", depth " << depth << ", retention to " << target);
        AnyMemory o;
        o.kind = "neural_mlp", o.form = form, o.depth = depth, o.refresh = 8, o.retention_target = target;
        const double theta = form == "feature" ? .45 : .03;  // unbounded rows: with large steps rounding alone would grow without limit
        const Result a = run(o, "auto", theta), b = run(o, "reference", theta);
        REQUIRE(relative_error(a.reads, b.reads) < kExact);
        require_same_state(a.state, b.state, kExact);
      }
}

TEST_CASE("memories: in fp32 the chosen kernel gives what the tiles give, cut anywhere, gradients too", "[memory]") {
  const Poisoned poisoned;
  for (const std::string gradient : {"refresh", "guarded", "exact_last", "sweeps"}) {
    auto derived = [&](const std::string& kernel, const std::vector<int64_t>& ends) {
      AnyMemory o;
      o.kind = "neural_mlp", o.sweeps = 2, o.refresh = 16, o.kernel = kernel;
      o.guard = gradient == "guarded", o.gradient = o.guard ? "refresh" : gradient;
      const auto memory = make(o, 12, at::kFloat);
      torch::manual_seed(5);
      MemoryInput all = random_input(*memory, 75, 12, .2);
      std::vector<at::Tensor> inputs, parts;
      for (at::Tensor* x : tensors_of(all))
        inputs.push_back(*x = x->to(at::kFloat).requires_grad_());
      for (at::Tensor& p : memory->parameters()) inputs.push_back(p);
      State state;
      int64_t first = 0;
      for (int64_t end : ends) {
        parts.push_back(memory->forward(part(all, first, end - first, 1), state));
        first = end;
      }
      std::vector<at::Tensor> results{at::cat(parts, 2)};
      for (const at::Tensor& g : torch::autograd::grad({results[0].square().sum()}, inputs)) results.push_back(g);
      return results;
    };
    const auto tiles = derived("chunked", {75});
    for (const std::vector<int64_t>& ends : {std::vector<int64_t>{75}, {5, 40, 75}, {64, 75}, {1, 2, 16, 75}}) {
      INFO(gradient << ", first call of " << ends[0]);
      const auto chosen = derived("auto", ends);
      for (size_t i = 0; i < tiles.size(); ++i) {
        INFO("reads, then gradients: " << i);
        REQUIRE(relative_error(chosen[i], tiles[i]) < kSingle);
      }
    }
  }
}

TEST_CASE("memories: refresh 1 is the exact recurrence, guard or not", "[memory]") {
  const Poisoned poisoned;
  for (const auto dtype : {at::kDouble, at::kFloat})
    for (const std::string kind : {"linear", "neural_mlp"}) {
      INFO(kind << ", " << dtype);
      const double tolerance = dtype == at::kDouble ? kExact : kSingle;
      AnyMemory exact;
      exact.kind = kind, exact.gradient = "refresh", exact.refresh = 1, exact.guard = false;
      AnyMemory guarded = exact, solved = exact;
      guarded.guard = true, solved.gradient = "exact";
      const Result chosen = run(exact, "auto", .45, dtype), loop = run(exact, "reference");
      REQUIRE(at::equal(run(guarded, "auto", .45, dtype).reads, chosen.reads));
      REQUIRE(relative_error(chosen.reads.to(at::kDouble), loop.reads) < tolerance);
      require_same_state(chosen.state, loop.state, tolerance);
      if (kind == "linear") REQUIRE(relative_error(run(solved, "auto", .45, dtype).reads.to(at::kDouble), loop.reads) < tolerance);
    }
}

TEST_CASE("memories: groups, guarded: any split into calls equals one call, whatever stands at tokens that end no group", "[memory]") {
  Random random(3);
  for (const GroupedCase& c : grouped_cases())
    for (const std::string kernel : {"chunked", "reference"}) {
      if (c.gradient == "sweeps" && kernel == "reference") continue;
      INFO(c.kind << ", gradient " << c.gradient << ", depth " << c.depth << ", group " << c.group << ", momentum " << c.momentum << ", damping "
                  << c.damping << ", guard " << c.guard << ", " << kernel);
      AnyMemory o;
      o.kind = c.kind, o.gradient = c.gradient, o.depth = c.depth, o.group = c.group, o.refresh = 16, o.momentum = c.momentum;
      o.momentum_damping = c.damping, o.guard = c.guard, o.gradient_at = c.decayed ? "decayed" : "previous", o.kernel = kernel, o.sweeps = 2;
      const auto memory = make(o, 6);
      at::NoGradGuard no_grad;
      torch::manual_seed(6);
      const int64_t T = 47;
      MemoryInput all = random_input(*memory, T, 6);
      if (c.masked) all.step = uniform({2, T}, 0, 1) > .3;
      State one;
      Probe whole;
      MemoryInput in = part(all, 0, T, c.group);
      in.probe = &whole;
      const at::Tensor reads = memory->forward(in, one);
      for (int64_t longest : {1, 3, 20}) {
        INFO("calls of up to " << longest);
        State many;
        Probe pieces;
        std::vector<at::Tensor> parts;
        for (int64_t first = 0, steps; first < T; first += steps) {
          steps = std::min(random.between(1, longest), T - first);
          MemoryInput piece = part(all, first, steps, c.group);
          piece.probe = &pieces;
          parts.push_back(memory->forward(piece, many));
        }
        REQUIRE(relative_error(at::cat(parts, 2), reads) < kExact);
        require_same_state(many, one, kExact);
        if (c.guard && c.gradient == "refresh") {
          const double fired = whole.entries().at("guard_firings").total;
          REQUIRE(fired > 0);
          REQUIRE(pieces.entries().at("guard_firings").total == fired);
        }
      }
    }
}

TEST_CASE("memories: an empty call reads nothing and leaves the state as it was", "[memory]") {
  at::NoGradGuard no_grad;
  for (const std::string kind : {"linear", "neural_mlp"})
    for (const std::string gradient : {"auto", "refresh"})
      for (const std::string kernel : {"reference", "chunked", "fused"})
        for (int64_t group : {1, 4}) {
          INFO(kind << ", gradient " << gradient << ", " << kernel << ", group " << group);
          AnyMemory o;
          o.kind = kind, o.gradient = gradient, o.kernel = kernel, o.group = group, o.refresh = 8;
          const auto memory = make(o, 6, at::kFloat);
          torch::manual_seed(7);
          MemoryInput all = random_input(*memory, 10, 6);
          for (at::Tensor* x : tensors_of(all)) *x = x->to(at::kFloat);
          State state;
          for (int64_t read : {0, 8, 2}) {  // fresh, at a refresh point, between
            if (read) memory->forward(part(all, 0, read, group), state);
            const State before = state.clone();
            MemoryInput none = part(all, 0, 0, group);
            at::Tensor losses;
            Probe probe;
            none.losses = &losses, none.probe = &probe;
            REQUIRE(memory->forward(none, state).sizes() == at::IntArrayRef({2, 2, 0, 6}));
            REQUIRE(losses.sizes() == at::IntArrayRef({2, 2, 0}));
            REQUIRE(probe.entries().empty());
            const auto x = state.flatten(), y = before.flatten();
            REQUIRE(x.size() == y.size());
            for (size_t i = 0; i < x.size(); ++i) REQUIRE(at::equal(x[i].second, y[i].second));
          }
        }
}

TEST_CASE("neural_mlp, lower = frozen: as learned with a lower step of 0, by every kernel; lower_step is where it starts", "[memory][mlp]") {
  const auto options = [](const std::vector<std::pair<std::string, std::string>>& own) {
    AnyMemory o;
    o.kind = "neural_mlp", o.refresh = 8;
    for (const auto& [name, text] : own) o.set({"memory", "neural_mlp", name}, text);
    return o;
  };
  register_memories();
  for (const std::string depth : {"2", "3"})
    for (const std::string kernel : {"auto", "reference", "chunked"}) {
      INFO("depth " << depth << ", kernel " << kernel);
      AnyMemory learned = options({{"depth", depth}}), frozen = options({{"depth", depth}, {"lower", "frozen"}});
      learned.kernel = frozen.kernel = kernel;
      const auto a = make(learned, 6), b = make(frozen, 6);
      at::NoGradGuard no_grad;
      for (auto& p : a->named_parameters()) {
        if (p.key() == "lower_step") p.value().fill_(-std::numeric_limits<double>::infinity());
        else p.value().copy_(b->named_parameters()[p.key()]);
      }
      CHECK_FALSE(b->named_parameters().contains("lower_step"));
      torch::manual_seed(9);
      const MemoryInput in = random_input(*a, 37, 6);
      State after_a, after_b;
      REQUIRE(relative_error(b->forward(in, after_b), a->forward(in, after_a)) < kExact);
      REQUIRE(relative_error(after_b.tensor("weights_0"), after_a.tensor("weights_0")) < kExact);
      State start;
      b->start(start, 2);
      CHECK(after_b.tensor("weights_0").equal(start.tensor("weights_0")));
      const std::string last = "weights_" + std::to_string(std::stoi(depth) - 1);
      CHECK_FALSE(after_b.tensor(last).equal(start.tensor(last)));
    }
  for (const std::string form : {"plain", "residual+norm"}) {
    const auto memory = make(options({{"form", form}, {"lower", "frozen"}}), 6);
    at::NoGradGuard no_grad;
    State state, start;
    memory->start(start, 2);
    memory->forward(random_input(*memory, 20, 6, .1), state);
    CHECK(state.tensor("weights_0").equal(start.tensor("weights_0")));
    CHECK_FALSE(state.tensor("weights_1").equal(start.tensor("weights_1")));
  }
  const MemoryPlugin& plugin = MemoryRegistry::instance().get("neural_mlp");
  const auto half = plugin.make({options({{"lower_step", "0.5"}}).made(), 2, 6, 6, at::make_generator<at::CPUGeneratorImpl>(3)});
  CHECK(half->named_parameters()["lower_step"].abs().max().item<double>() < 1e-7);
}
