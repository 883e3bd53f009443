// Long adversarial streams at the defaults, for Titans' two memories: finite, and alive: what a memory learns of a fresh pair
// after 100 000 tokens of filler is at least 0.9 of what it learns of it at token 0. With stale gradients the guard has to hold. Then
// the same with gates at their ends, and with keys of any length, which memory.qk_norm = none lets through.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "mneme/errors.h"
#include "mneme/memory.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;

namespace {

// Whole refresh intervals: what a memory learns of a pair is compared at the start of one. Inside, the guard gives what overlaps with a
// direction that the stream has filled no room until the next refresh point. Calls begin and end anywhere.
constexpr int64_t kStreamTokens = 1563 * 64, kSaturatedTokens = 313 * 64, kCall = 1500, kHeads = 2, kWidth = 16;

struct Stream {
  std::string name;
  std::function<void(at::Tensor& key, at::Tensor& value)> fill;  // [1,H,T,D], normal to begin with
};

std::vector<Stream> streams() {
  auto repeat = [](at::Tensor& x, int64_t period) {
    x = x.narrow(2, 0, period).repeat({1, 1, x.size(2) / period, 1});
  };
  return {{"constant", [=](at::Tensor& k, at::Tensor& v) { repeat(k, 1), repeat(v, 1); }},
          {"alternating pair", [=](at::Tensor& k, at::Tensor& v) { repeat(k, 2), repeat(v, 2); }},
          {"one key, alternating values", [=](at::Tensor& k, at::Tensor& v) { repeat(k, 1), repeat(v, 2); }},
          {"huge norms", [](at::Tensor& k, at::Tensor& v) { k.mul_(1e6), v.mul_(1e6); }},
          {"zeros", [](at::Tensor& k, at::Tensor& v) { k.zero_(), v.zero_(); }},
          {"random", [](at::Tensor&, at::Tensor&) {}}};
}

std::shared_ptr<Memory> make(const std::string& kind, const AnyMemory& chosen) {
  static MemoryOptions options;  // a memory may keep a reference
  AnyMemory of_kind = chosen;
  of_kind.kind = kind;
  options = of_kind.made();
  return MemoryRegistry::instance().get(kind).make({options, kHeads, kWidth, kWidth, at::make_generator<at::CPUGeneratorImpl>(4)});
}

/// What a layer's gates may say: σ of the step, forgetting, momentum.
struct Gates {
  std::string name;
  double write, alpha, eta;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// As at the start of training, with the step half open.
Gates usual(const AnyMemory& o) { return {"usual", .5, sigmoid(o.alpha_bias), sigmoid(o.eta_bias)}; }

std::vector<Gates> saturated() {
  return {{"nothing forgotten, long momentum", 1, 1e-9, .999},
          {"nothing forgotten, no momentum", 1, 0, 0},
          {"all forgotten, long momentum", 1, 1, .999},
          {"all forgotten, no momentum", 1, 1, 0}};
}

MemoryInput input_of(Memory& memory, const AnyMemory& o, const Gates& g, const at::Tensor& key, const at::Tensor& value) {
  const at::Tensor k = o.qk_norm == "none" ? key : nn::l2_normalize(key);
  MemoryInput in{k, k, value};
  const std::map<std::string, double> values{{"theta", g.write * o.theta_max}, {"alpha", g.alpha}, {"eta", g.eta}};
  for (const Gate& gate : memory.gates()) in.gates[gate.name] = at::full({1, kHeads, key.size(2), gate.copies}, values.at(gate.name), key.options());
  return in;
}

// How much of the error of a fresh pair eight writes of it remove: 1 = all of it, 0 = dead.
double learned(Memory& memory, const AnyMemory& o, State state) {
  torch::manual_seed(99);
  const at::Tensor key = nn::l2_normalize(at::randn({1, kHeads, 1, kWidth})), value = at::randn({1, kHeads, 1, kWidth});
  const double before = (memory.read(key, state) - value).norm().item<double>();
  memory.forward(input_of(memory, o, usual(o), key.repeat({1, 1, 8, 1}), value.repeat({1, 1, 8, 1})), state);
  return 1 - (memory.read(key, state) - value).norm().item<double>() / before;
}

/// Requires that reads and the final state are finite, or (`finite` = false) that some of the state is not.
void run(Memory& memory, const AnyMemory& o, const Gates& gates, const Stream& stream, int64_t tokens, State& state, bool finite = true) {
  torch::manual_seed(5);
  for (int64_t first = 0; first < tokens; first += kCall) {
    at::Tensor key = at::randn({1, kHeads, std::min(kCall, tokens - first), kWidth}), value = at::randn_like(key);
    if (stream.name != "random" && stream.name != "huge norms") torch::manual_seed(5);
    stream.fill(key, value);
    const at::Tensor reads = memory.forward(input_of(memory, o, gates, key, value), state);
    if (finite) REQUIRE(reads.isfinite().all().item<bool>());
  }
  bool all = true;
  for (const auto& [name, tensor] : state.flatten()) all = all && tensor.isfinite().all().item<bool>();
  REQUIRE(all == finite);
}

}  // namespace

TEST_CASE("memories: 100 000 tokens of adversarial input leave every memory finite and able to learn", "[memory][streams][slow]") {
  at::NoGradGuard no_grad;
  register_memories();
  for (const std::string kind : {"linear", "neural_mlp"})  // rules of the zoo: tests/unit/memory/test_zoo_*.cpp
    for (const std::string gradient : {"auto", "refresh", "sweeps"})
      for (const Stream& stream : streams()) {
        INFO(kind << ", gradient = " << gradient << ", " << stream.name);
        AnyMemory o;
        o.kind = kind, o.gradient = gradient;
        if (!o.possible()) continue;
        const auto memory = make(kind, o);
        if (!memory) continue;
        State fresh, state;
        memory->start(fresh, 1);
        const double at_start = learned(*memory, o, fresh);
        REQUIRE(at_start > 0.5);
        run(*memory, o, usual(o), stream, kStreamTokens, state);
        const double at_end = learned(*memory, o, state);
        INFO("learned " << at_start << " of a pair at token 0, " << at_end << " after the stream");
        REQUIRE(at_end >= 0.9 * at_start);
      }
}

TEST_CASE("memories: gates at their ends leave every memory finite, and able to learn once they are as usual again", "[memory][streams][slow]") {
  at::NoGradGuard no_grad;
  register_memories();
  for (const std::string kind : {"linear", "neural_mlp"})  // rules of the zoo: tests/unit/memory/test_zoo_*.cpp
    for (const std::string gradient : {"auto", "refresh"})
      for (const Gates& gates : saturated())
        for (const Stream& stream : streams()) {
          INFO(kind << ", gradient = " << gradient << ", " << stream.name << ", " << gates.name);
          AnyMemory o;
          o.gradient = gradient;
          const auto memory = make(kind, o);
          if (!memory) continue;
          State fresh, state;
          memory->start(fresh, 1);
          const double at_start = learned(*memory, o, fresh);
          run(*memory, o, gates, stream, kSaturatedTokens, state);
          // Values of 1e6 that nothing may forget stay longer than this test runs; the first one has them forgotten.
          if (stream.name == "huge norms") continue;
          run(*memory, o, usual(o), streams().back(), 2048, state);
          const double at_end = learned(*memory, o, state);
          INFO("learned " << at_start << " of a pair at token 0, " << at_end << " after the stream");
          REQUIRE(at_end >= 0.9 * at_start);
        }
}

// With memory.qk_norm = none keys have any length. Where gradients are stale the guard shortens steps by it, and rows of `feature` have
// length 1 behind the first matrix, whose error rows are cut. The delta rule has no such thing: it is stable up to
// θ‖k‖² = (1 + η)(2 − α)/2, and not beyond.
TEST_CASE("memories: keys that are not normalised", "[memory][streams][slow]") {
  at::NoGradGuard no_grad;
  register_memories();
  const std::vector<std::pair<std::string, std::string>> bounded{{"linear", "refresh"}, {"neural_mlp", "refresh"}, {"neural_mlp", "exact_last"}};
  for (const auto& [kind, gradient] : bounded)
    for (const double length : {1e3, 1e6})
      for (Stream stream : streams()) {
        if (stream.name == "huge norms") continue;
        INFO(kind << ", gradient = " << gradient << ", " << stream.name << ", times " << length);
        AnyMemory o;
        o.gradient = gradient, o.qk_norm = "none";
        const auto memory = make(kind, o);
        State fresh, state;
        memory->start(fresh, 1);
        const double at_start = learned(*memory, o, fresh);
        const auto filled = stream.fill;
        stream.fill = [&](at::Tensor& k, at::Tensor& v) { filled(k, v), k.mul_(length); };
        run(*memory, o, usual(o), stream, kSaturatedTokens, state);
        const double at_end = learned(*memory, o, state);
        INFO("learned " << at_start << " of a pair at token 0, " << at_end << " after the stream");
        REQUIRE(at_end >= 0.9 * at_start);
      }
  for (const bool stable : {true, false})
    for (Stream stream : streams()) {
      if (stream.name != "constant" && stream.name != "one key, alternating values") continue;
      INFO("linear, exact, " << stream.name << ", " << (stable ? "below" : "above") << " the limit");
      AnyMemory o;
      o.qk_norm = "none";
      const Gates gates = usual(o);
      const double limit = (1 + gates.eta) * (2 - gates.alpha) / 2, theta = gates.write * o.theta_max * (1 - gates.eta);
      const auto filled = stream.fill;
      stream.fill = [&](at::Tensor& k, at::Tensor& v) {
        filled(k, v);
        k = nn::l2_normalize(k) * std::sqrt((stable ? .98 : 1.02) * limit / theta);
      };
      const auto memory = make("linear", o);
      State state;
      run(*memory, o, gates, stream, kSaturatedTokens, state, stable);
      if (stable) REQUIRE(learned(*memory, o, state) > 0.5);
    }
}
