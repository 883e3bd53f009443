// TNT's global and local memories against worked numbers and a loop over tokens that knows nothing of tiles and cuts.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "config/fields.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;

namespace {

struct TntCase {
  int64_t shard = 6;
  std::vector<int64_t> chunks{1};
  std::string projection = "sum", read = "after", kernel = "chunked";
  int64_t tile = 4;
  bool guard = false, forgetting = true, masked = false;
};

std::shared_ptr<Memory> tnt_memory(const TntCase& c, int64_t H, int64_t K, int64_t V) {
  register_memories();
  const MemoryPlugin& plugin = MemoryRegistry::instance().get("tnt");
  MemoryOptions options;
  options.kind = "tnt", options.kernel = c.kernel, options.tile = c.tile, options.guard = c.guard, options.forgetting = c.forgetting, options.read = c.read;
  options.own = plugin.options();
  std::string chunks;
  for (const int64_t chunk : c.chunks) chunks += (chunks.empty() ? "" : ",") + std::to_string(chunk);
  for (Field& field : fields_of(*options.own, "")) {
    if (field.key == "shard") field.parse(std::to_string(c.shard));
    if (field.key == "chunks") field.parse(chunks);
    if (field.key == "projection") field.parse(c.projection);
  }
  const auto memory = plugin.make({options, H, K, V, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  return memory;
}

void randomize(Memory& memory) {
  const at::NoGradGuard none;
  for (auto& p : memory.parameters()) p.copy_(normal(p.sizes()) * .4);
}

MemoryInput tnt_input(const Memory& memory, int64_t B, int64_t H, int64_t T, int64_t K, int64_t V) {
  MemoryInput in{normal({B, H, T, K}), nn::l2_normalize(normal({B, H, T, K})) * uniform({B, H, T, 1}, .5, 1.2), normal({B, H, T, V})};
  for (const Gate& gate : memory.gates()) in.gates[gate.name] = uniform({B, H, T, gate.copies}, .02, gate.name == "theta" ? .3 : .5);
  return in;
}

// Reads [B,H,T,V], losses [B,H,T], the running global memory and local ones [B,H,K,V].
std::vector<at::Tensor> tnt_by_loop(const TntCase& c, const MemoryInput& in, const std::vector<at::Tensor>& starts) {
  const int64_t B = in.key.size(0), H = in.key.size(1), T = in.key.size(2), K = in.key.size(3), V = in.value.size(3), L = int64_t(c.chunks.size());
  std::vector<at::Tensor> reads, losses, global, local;
  for (int64_t n = 0; n < B * H; ++n) {
    const int64_t b = n / H, h = n % H;
    at::Tensor moving = starts[0][h], still = moving, P;  // still: what the shard reads
    std::vector<at::Tensor> W, point;
    auto begin_shard = [&] {
      still = moving, P = at::zeros({K, K}, at::kDouble);
      W.clear(), point.clear();
      for (int64_t i = 0; i < L; ++i) W.push_back(starts[i + 1][h]), point.push_back(W[i]);
    };
    begin_shard();
    for (int64_t t = 0; t < T; ++t) {
      const at::Tensor q = in.query[b][h][t], k = in.key[b][h][t], v = in.value[b][h][t];
      auto said = [&] {
        const at::Tensor asked = c.projection == "sum" ? at::mv(P, q) : q;
        at::Tensor y = at::matmul(q, still);
        for (const at::Tensor& w : W) y = y + at::matmul(asked, w);
        return y;
      };
      const at::Tensor before = said();
      auto moved = [&](const at::Tensor& M, const at::Tensor& at_point, int64_t i) {
        const at::Tensor error = at::matmul(k, at_point) - v, theta = in.gate("theta")[b][h][t][i];
        const at::Tensor kept = c.forgetting ? (1 - in.gate("alpha")[b][h][t][i]) * M : M;
        return kept - 2 * theta * at::outer(k, error);
      };
      at::Tensor loss = at::zeros({}, at::kDouble);
      for (int64_t i = 0; i < L; ++i) {
        if (t % c.shard % c.chunks[i] == 0) point[i] = W[i];
        loss = loss + (at::matmul(k, point[i]) - v).square().sum() / double(L);
      }
      losses.push_back(loss);
      if (!in.step.defined() || in.step[b][t].item<bool>()) {
        moving = moved(moving, still, 0);
        for (int64_t i = 0; i < L; ++i) W[i] = moved(W[i], point[i], i + 1);
        P = P + at::outer(k, k) / k.square().sum();
      }
      reads.push_back(c.read == "before" ? before : said());
      if ((t + 1) % c.shard == 0) begin_shard();
    }
    global.push_back(moving), local.push_back(at::stack(W));
  }
  return {at::stack(reads).view({B, H, T, V}), at::stack(losses).view({B, H, T}), at::stack(global).view({B, H, K, V}),
          at::stack(local).view({B, H, L, K, V})};
}

std::vector<at::Tensor> tnt_outputs(Memory& memory, MemoryInput in, State& state, size_t locals) {
  at::Tensor losses;
  in.losses = &losses;
  const at::Tensor reads = memory.forward(in, state);
  std::vector<at::Tensor> local;
  for (size_t i = 0; i < locals; ++i) local.push_back(state.tensor("local_" + std::to_string(i)));
  return {reads, losses, state.tensor("global"), at::stack(local, 2)};
}

std::vector<TntCase> tnt_cases() {
  std::vector<TntCase> all{{},
                           {.shard = 6, .chunks = {1}, .read = "before", .masked = true},
                           {.shard = 6, .chunks = {3}, .masked = true},
                           {.shard = 8, .chunks = {1, 4, 2}, .read = "before"},
                           {.shard = 6, .chunks = {6, 1}, .projection = "none", .forgetting = false, .masked = true},
                           {.shard = 1, .chunks = {1}},
                           {.shard = 64, .chunks = {1, 16}, .tile = 64}};
  const size_t n = all.size();
  for (size_t i = 0; i < n; ++i) all.push_back(all[i]), all.back().kernel = "reference";
  return all;
}

}  // namespace

TEST_CASE("zoo: TNT gives the worked numbers", "[memory][zoo][tnt]") {
  for (const std::string kernel : {"chunked", "reference"}) {
    const auto memory = tnt_memory({.shard = 2, .kernel = kernel, .forgetting = false}, 1, 2, 2);
    {
      const at::NoGradGuard none;
      at::Tensor start = memory->named_parameters()["local_0"];
      start.copy_(at::tensor({.1, .3, -.2, .05}, at::kDouble).view({1, 2, 2}));  // [K,V]
    }
    auto row = [](std::vector<double> x, int64_t n) { return at::tensor(x, at::kDouble).view({1, 1, 3, n}); };
    MemoryInput in{row({.8, .6, .8, .6, .8, .6}, 2), row({1, 0, .6, .8, 0, 1}, 2), row({1, -1, .5, 2, -1, .25}, 2)};
    in.gates["theta"] = row({.25, .25, .2, .2, .15, .15}, 2);  // h/2: the numbers are of half squares
    State state;
    const at::Tensor reads = memory->forward(in, state);
    REQUIRE(relative_error(reads, row({.44, -.28, .79328, .80672, .328, .434}, 2)) <= kExact);
    REQUIRE(relative_error(state.tensor("local_0")[0][0].t(), at::tensor({.1, -.44, .3, .11}, at::kDouble).view({2, 2})) <= kExact);
    REQUIRE(relative_error(state.tensor("global")[0][0].t(), at::tensor({.62, -.188, -.02, .523}, at::kDouble).view({2, 2})) <= kExact);
  }
}

TEST_CASE("zoo: TNT is its loop over tokens, states and every gradient", "[memory][zoo][tnt]") {
  constexpr int64_t B = 2, H = 2, T = 21, K = 4, V = 3;
  torch::manual_seed(7);
  for (const TntCase& c : tnt_cases()) {
    INFO("shard " << c.shard << ", " << c.chunks.size() << " local, read " << c.read << ", " << c.projection << ", " << c.kernel);
    const auto memory = tnt_memory(c, H, K, V);
    randomize(*memory);
    const MemoryInput like = tnt_input(*memory, B, H, T, K, V);
    const at::Tensor step = c.masked ? uniform({B, T}, 0, 1) < .6 : at::Tensor();
    std::vector<at::Tensor> leaves{leaf(like.query), leaf(like.key), leaf(like.value)}, starts{memory->named_parameters()["global"]};
    MemoryInput in{leaves[0], leaves[1], leaves[2]};
    for (const auto& [name, x] : like.gates) leaves.push_back(leaf(x)), in.gates[name] = leaves.back();
    in.step = step;
    for (size_t i = 0; i < c.chunks.size(); ++i) starts.push_back(memory->named_parameters()["local_" + std::to_string(i)]);
    leaves.insert(leaves.end(), starts.begin(), starts.end());
    State state;
    const std::vector<at::Tensor> found = tnt_outputs(*memory, in, state, c.chunks.size()), expected = tnt_by_loop(c, in, starts);
    std::vector<at::Tensor> sums;
    for (const auto* outputs : {&found, &expected}) {
      at::Tensor sum = at::zeros({}, at::kDouble);
      for (size_t i = 0; i < outputs->size(); ++i) {
        auto generator = at::make_generator<at::CPUGeneratorImpl>(17 + i);
        sum = sum + (outputs->at(i) * at::empty(outputs->at(i).sizes(), at::kDouble).normal_(0, 1, generator)).sum();
      }
      sums.push_back(sum);
    }
    for (size_t i = 0; i < found.size(); ++i) {
      INFO("output " << i);
      REQUIRE(relative_error(found[i], expected[i]) <= kExact);
    }
    const auto a = torch::autograd::grad({sums[0]}, leaves, {}, false, false, true), b = torch::autograd::grad({sums[1]}, leaves, {}, false, false, true);
    for (size_t i = 0; i < leaves.size(); ++i) {
      INFO("gradient of leaf " << i);
      const at::Tensor zero = at::zeros_like(leaves[i]);
      REQUIRE(relative_error(a[i].defined() ? a[i] : zero, b[i].defined() ? b[i] : zero) <= kExactGradient);
    }
  }
}

TEST_CASE("zoo: TNT does not see how a sequence is cut, inside shards and at their ends", "[memory][zoo][tnt]") {
  const at::NoGradGuard none;
  constexpr int64_t B = 2, H = 2, T = 29, K = 4, V = 3;
  torch::manual_seed(8);
  for (TntCase c : tnt_cases()) {
    c.guard = true;
    INFO("shard " << c.shard << ", " << c.chunks.size() << " local, read " << c.read << ", " << c.kernel);
    const auto memory = tnt_memory(c, H, K, V);
    randomize(*memory);
    MemoryInput in = tnt_input(*memory, B, H, T, K, V);
    if (c.masked) in.step = uniform({B, T}, 0, 1) < .6;
    State one;
    const at::Tensor whole = memory->forward(in, one), query = normal({B, H, 5, K});
    for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{6, 6, 6, 6, 5}, {1, 4, 9, 0, 8, 7}, std::vector<int64_t>(T, 1)}) {
      State many;
      std::vector<at::Tensor> reads;
      for (int64_t first = 0, i = 0; first < T; first += sizes[i++]) reads.push_back(memory->forward(part(in, first, sizes[i]), many));
      REQUIRE(relative_error(at::cat(reads, 2), whole) <= kExact);
      require_same_state(many, one, kExact);
      State kept = memory->readable(one);
      REQUIRE(relative_error(memory->read(query, kept), memory->read(query, many)) <= kExact);
    }
  }
}

TEST_CASE("zoo: the guard bounds TNT's stale steps where one key comes again and again, and counts them", "[memory][zoo][tnt]") {
  const at::NoGradGuard none;
  constexpr int64_t T = 640;
  torch::manual_seed(9);
  const at::Tensor key = normal({1, 1, 1, 4}), k = (key / key.norm()).expand({1, 1, T, 4}), v = normal({1, 1, 1, 3}).expand({1, 1, T, 3});
  for (const bool guard : {true, false}) {
    const auto memory = tnt_memory({.shard = 64, .chunks = {16}, .tile = 64, .guard = guard, .forgetting = false}, 1, 4, 3);
    MemoryInput in{k, k, v};
    in.gates["theta"] = at::full({1, 1, T, 2}, .3, at::kDouble);  // of 0.4 that there is room for in an interval
    Probe probe;
    in.probe = &probe;
    State state;
    memory->forward(in, state);
    const auto fired = probe.entries().find("guard_firings");
    REQUIRE((fired != probe.entries().end()) == guard);
    if (guard) REQUIRE(fired->second.total == double(T / 64 * 63 + T / 16 * 15));  // all but the first of each shard and of each chunk
    const double error = (at::matmul(k.select(2, 0).unsqueeze(2), state.tensor("global")) - v.narrow(2, 0, 1)).abs().max().item<double>();
    REQUIRE((error < .01) == guard);
  }
}

TEST_CASE("zoo: a chunk of TNT that does not divide its shard is refused", "[memory][zoo][tnt]") {
  register_memories();
  const auto own = MemoryRegistry::instance().get("tnt").options();
  for (Field& field : fields_of(*own, "")) {
    if (field.key == "shard") field.parse("10");
    if (field.key == "chunks") field.parse("5,4");
  }
  Problems problems;
  own->check("memory.tnt.", problems);
  REQUIRE(problems.list().size() == 1);
  REQUIRE(problems.list()[0].key == "memory.tnt.chunks");
  REQUIRE(problems.list()[0].message.find("4, which does not divide memory.tnt.shard = 10") != std::string::npos);
}
