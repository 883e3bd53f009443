// Long adversarial streams at the defaults, for every registered memory: finite, and alive: what a memory learns of a fresh pair
// after 100 000 tokens of filler is at least 0.9 of what it learns of it at token 0. With stale gradients the guard has to hold.
#include "tests/support/tensors.h"

#include "mneme/memory.h"
#include "nn/row_norm.h"

namespace mneme {
void register_memorys();
}

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kTokens = 100'000, kStaleTokens = 20'000, kCall = 2048, kHeads = 2, kWidth = 16;

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

std::shared_ptr<Memory> make(const std::string& kind, const MemoryOptions& chosen) {
  static MemoryOptions options;  // a memory may keep a reference
  options = chosen;
  options.kind = kind;
  return MemoryRegistry::instance().get(kind).make({options, kHeads, kWidth, at::make_generator<at::CPUGeneratorImpl>(4)});
}

// Gates as a layer gives them at the start of training, with the step open: σ(0) θ_max, damped.
MemoryInput input_of(Memory& memory, const MemoryOptions& o, const at::Tensor& key, const at::Tensor& value) {
  const std::vector<int64_t> sizes{1, kHeads, key.size(2), memory.gate_layers()};
  auto gate = [&](double logit) { return at::full(sizes, 1 / (1 + std::exp(-logit)), key.options()); };
  const at::Tensor k = nn::l2_normalize(key), eta = gate(o.eta_bias);
  MemoryInput in{k, k, value, gate(0) * o.theta_max * (1 - eta), gate(o.alpha_bias), eta};
  return in;
}

// How much of the error of a fresh pair eight writes of it remove: 1 = all of it, 0 = dead.
double learned(Memory& memory, const MemoryOptions& o, State state) {
  torch::manual_seed(99);
  const at::Tensor key = at::randn({1, kHeads, 1, kWidth}), value = at::randn({1, kHeads, 1, kWidth});
  const at::Tensor query = nn::l2_normalize(key);
  const double before = (memory.read(query, state) - value).norm().item<double>();
  memory.forward(input_of(memory, o, key.repeat({1, 1, 8, 1}), value.repeat({1, 1, 8, 1})), state);
  return 1 - (memory.read(query, state) - value).norm().item<double>() / before;
}

}  // namespace

TEST_CASE("memories: 100 000 tokens of adversarial input leave every memory finite and able to learn", "[memory][streams][slow]") {
  at::NoGradGuard no_grad;
  register_memorys();
  for (const std::string& kind : MemoryRegistry::instance().names())
    for (const std::string gradient : {"auto", "refresh"})
      for (const Stream& stream : streams()) {
        INFO(kind << ", gradient = " << gradient << ", " << stream.name);
        MemoryOptions o;
        o.gradient = gradient;
        const auto memory = make(kind, o);
        if (!memory) continue;
        State fresh, state;
        memory->start(fresh, 1);
        const double at_start = learned(*memory, o, fresh);
        REQUIRE(at_start > 0.5);
        torch::manual_seed(5);
        for (int64_t first = 0; first < (gradient == "auto" ? kTokens : kStaleTokens); first += kCall) {
          at::Tensor key = at::randn({1, kHeads, kCall, kWidth}), value = at::randn({1, kHeads, kCall, kWidth});
          if (stream.name != "random" && stream.name != "huge norms") torch::manual_seed(5);
          stream.fill(key, value);
          const at::Tensor reads = memory->forward(input_of(*memory, o, key, value), state);
          REQUIRE(reads.isfinite().all().item<bool>());
        }
        for (const auto& [name, tensor] : state.flatten()) {
          INFO(name);
          REQUIRE(tensor.isfinite().all().item<bool>());
        }
        const double at_end = learned(*memory, o, state);
        INFO("learned " << at_start << " of a pair at token 0, " << at_end << " after the stream");
        REQUIRE(at_end >= 0.9 * at_start);
      }
}
