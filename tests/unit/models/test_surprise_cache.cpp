// The exact cache of the largest writes against its definition by a loop over tokens, and how it stands in the layer: cuts, rows,
// reading without writing.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include <algorithm>
#include <cmath>

#include "memory/layer.h"
#include "memory/surprise_cache.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kB = 2, kH = 2, kK = 5, kV = 3;

std::shared_ptr<SurpriseCache> cache_of(int64_t pairs, bool before) {
  const auto cache = std::make_shared<SurpriseCache>(pairs, before, kH, kK, kV);
  cache->to(at::kDouble);
  const at::NoGradGuard none;
  for (auto& p : cache->parameters()) p.add_(normal(p.sizes()));
  return cache;
}

struct Asked {
  MemoryInput input;
  at::Tensor priority;
};

// Few different priorities where `levels` > 0: ties.
Asked asked(int64_t T, bool masked, int64_t levels) {
  Asked a{{normal({kB, kH, T, kK}), normal({kB, kH, T, kK}), normal({kB, kH, T, kV})}, uniform({kB, kH, T}, 0, 1)};
  if (levels > 0) a.priority = (a.priority * double(levels)).floor();
  if (masked) a.input.step = uniform({kB, T}, 0, 1) < .7;
  return a;
}

at::Tensor over_rms(const at::Tensor& x) { return x / (x.square().mean() + 1e-6).sqrt(); }

// All pairs stay in a list; each read sorts it.
at::Tensor cache_by_loop(const Asked& a, const std::vector<at::Tensor>& x, int64_t pairs, bool before) {
  const at::Tensor &query = x[0], &key = x[1], &value = x[2], &scale = x[3], &gate = x[4];
  const int64_t T = key.size(2);
  std::vector<at::Tensor> reads;
  for (int64_t n = 0; n < kB * kH; ++n) {
    const int64_t b = n / kH, h = n % kH;
    std::vector<std::pair<double, int64_t>> seen;
    auto said = [&](int64_t t) {
      auto best = seen;
      std::stable_sort(best.begin(), best.end(), [](const auto& p, const auto& q) { return p.first > q.first; });
      at::Tensor sum = at::zeros({kV}, at::kDouble), total = at::zeros({}, at::kDouble);
      for (size_t i = 0; i < best.size() && int64_t(i) < pairs; ++i) {
        const int64_t j = best[i].second;
        const at::Tensor weight = ((scale[h] * over_rms(query[b][h][t]) * over_rms(key[b][h][j])).sum() / std::sqrt(double(kK))).exp();
        sum = sum + weight * value[b][h][j], total = total + weight;
      }
      return seen.empty() ? sum : sum / total / (1 + (-gate[h]).exp());
    };
    for (int64_t t = 0; t < T; ++t) {
      const at::Tensor earlier = before ? said(t) : at::Tensor();
      if (!a.input.step.defined() || a.input.step[b][t].item<bool>()) seen.push_back({a.priority[b][h][t].item<double>(), t});
      reads.push_back(before ? earlier : said(t));
    }
  }
  return at::stack(reads).view({kB, kH, T, kV});
}

std::shared_ptr<MemoryLayer> layer_with_cache(const std::string& kind, int64_t cache, bool off = false) {
  register_memories();
  ModelOptions model;
  model.kind = "lmm", model.width = 12, model.conv_width = 0;
  AnyMemory memory;
  memory.kind = kind, memory.heads = 2, memory.cache = cache, memory.off = off, memory.tile = 4, memory.refresh = 4;
  if (kind == "atlas") memory.theta_max = 1e-4;  // its Newton-Schulz step makes steps of rounding where the error is small
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  auto layer = std::make_shared<MemoryLayer>(BlockContext{model, memory.made(), 0, generator});
  const at::NoGradGuard none;
  for (auto& p : layer->parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
  layer->to(at::kDouble);
  return layer;
}

at::Tensor run_layer(MemoryLayer& layer, const at::Tensor& x, State& state, const at::Tensor& write = {}) {
  ForwardContext context;
  context.write = write;
  return layer.forward(x, state, context);
}

}  // namespace

TEST_CASE("surprise cache: it is its definition, gradients too, whatever its size, ties and blocks", "[memory][cache]") {
  torch::manual_seed(1);
  for (const bool before : {false, true})
    for (const int64_t pairs : {1, 4, 70, 200}) {
      const int64_t T = pairs == 4 ? 140 : 67, levels = pairs == 1 ? 0 : 3;  // 64 tokens are a block
      INFO(pairs << " pairs of " << T << (before ? ", before" : ", after"));
      const auto cache = cache_of(pairs, before);
      const Asked a = asked(T, pairs != 70, levels);
      auto parameters = cache->named_parameters();
      const Function expected = [&](const std::vector<at::Tensor>& x) { return std::vector<at::Tensor>{cache_by_loop(a, x, pairs, before)}; };
      const std::vector<at::Tensor> values{a.input.query, a.input.key, a.input.value, parameters["scale"].detach(), parameters["gate"].detach()};
      const Derived by_loop = derive(expected, values);
      const std::vector<at::Tensor> leaves{leaf(values[0]), leaf(values[1]), leaf(values[2]), parameters["scale"], parameters["gate"]};
      MemoryInput in{leaves[0], leaves[1], leaves[2]};
      in.step = a.input.step;
      State state;
      const at::Tensor reads = cache->forward(in, a.priority, state);
      REQUIRE(relative_error(reads, by_loop.outputs[0]) <= kExact);
      auto generator = at::make_generator<at::CPUGeneratorImpl>(17);  // as derive projects
      const auto gradients = torch::autograd::grad({(reads * at::empty(reads.sizes(), at::kDouble).normal_(0, 1, generator)).sum()}, leaves);
      for (size_t i = 0; i < leaves.size(); ++i) {
        INFO("gradient of input " << i);
        REQUIRE(relative_error(gradients[i], by_loop.gradients[i]) <= kExactGradient);
      }
    }
}

TEST_CASE("surprise cache: any split of a sequence is one call, and what is read then is what the state holds", "[memory][cache]") {
  const at::NoGradGuard none;
  torch::manual_seed(2);
  constexpr int64_t T = 150;
  for (const int64_t pairs : {3, 80}) {
    const auto cache = cache_of(pairs, false);
    const Asked a = asked(T, true, 4);
    State one;
    const at::Tensor whole = cache->forward(a.input, a.priority, one);
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{64, 64, 22}, {1, 70, 0, 5, 74}, std::vector<int64_t>(T, 1)}) {
      State many;
      std::vector<at::Tensor> reads;
      for (int64_t first = 0, i = 0; first < T; first += sizes[i++])
        reads.push_back(cache->forward(part(a.input, first, sizes[i]), a.priority.narrow(2, first, sizes[i]), many));
      REQUIRE(relative_error(at::cat(reads, 2), whole) <= kExact);
      require_same_state(many, one, kExact);
    }
    const at::Tensor last = cache->read(a.input.query.narrow(2, T - 1, 1), one);
    REQUIRE(relative_error(last, whole.narrow(2, T - 1, 1)) <= kExact);
    State fresh;
    REQUIRE(cache->read(a.input.query, fresh).abs().max().item<double>() == 0);
  }
}

TEST_CASE("surprise cache: beside every memory, any split is one call and later tokens change no bit", "[memory][cache]") {
  const at::NoGradGuard none;
  constexpr int64_t T = 21;
  register_memories();
  for (const std::string& kind : MemoryRegistry::instance().names()) {
    INFO(kind);
    torch::manual_seed(3);
    const auto layer = layer_with_cache(kind, 4);
    const at::Tensor x = normal({2, T, 12});
    State one;
    const at::Tensor whole = run_layer(*layer, x, one);
    REQUIRE(one.child("cache").tensor("priority").min().item<double>() >= 0);
    State parts;
    std::vector<at::Tensor> y;
    for (const auto& [first, n] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {1, 6}, {7, 13}, {20, 1}}) y.push_back(run_layer(*layer, x.narrow(1, first, n), parts));
    REQUIRE(relative_error(at::cat(y, 1), whole) <= 1e-11);
    require_same_state(parts, one, 1e-11);
    at::Tensor later = x.clone();
    later.narrow(1, 12, T - 12).normal_();
    State other;
    REQUIRE(at::equal(run_layer(*layer, later, other).narrow(1, 0, 12), whole.narrow(1, 0, 12)));
    // A token that writes nothing reads what is there: retrieval does the same.
    const at::Tensor asked = normal({2, 1, 12});
    at::Tensor tail;
    const at::Tensor queries = layer->queries(asked, tail);
    State kept = layer->readable(one), mute = one;
    if (kind == "comba") continue;  // its read of frozen weights has no correction
    REQUIRE(relative_error(layer->retrieve(queries, asked, kept), run_layer(*layer, asked, mute, at::zeros({2, 1}, at::kBool))) <= 1e-11);
    require_same_state(mute.child("cache"), one.child("cache"), 0);
  }
}

TEST_CASE("surprise cache: a memory that is off keeps no pairs, and a fresh start of some rows empties theirs", "[memory][cache]") {
  const at::NoGradGuard none;
  torch::manual_seed(4);
  const at::Tensor x = normal({2, 9, 12}), more = normal({2, 5, 12});
  const auto off = layer_with_cache("linear", 4, true);
  State nothing;
  run_layer(*off, x, nothing);
  REQUIRE_FALSE(nothing.has_child("cache"));

  const auto layer = layer_with_cache("linear", 4);
  State state, alone;
  run_layer(*layer, x, state);
  layer->reset(state, at::tensor({0, 1}).to(at::kBool));
  const at::Tensor y = run_layer(*layer, more, state);
  REQUIRE(relative_error(y.narrow(0, 1, 1), run_layer(*layer, more.narrow(0, 1, 1), alone)) <= kExact);
}
