// configs/memory/*.ini named after published rules: gates and memory of such a config against the rule, written out.
#include "tests/support/tensors.h"

#include "config/config.h"
#include "mneme/memory.h"
#include "memory/gates.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kPresetRows = 2, kPresetTokens = 37, kPresetHeads = 2, kPresetWidth = 6;

/// Gates and memory as a config makes them, in fp64, on random rows.
struct Preset {
  MemoryInput input;
  at::Tensor reads;
  std::map<std::string, at::Tensor> parameters;

  explicit Preset(const std::string& name) {
    at::NoGradGuard no_grad;
    make_plugins_known();
    Settings settings = Settings::from_text("extends = " MNEME_SOURCE_DIR "/configs/memory/" + name + ".ini\n[model]\nkind = lmm\nwidth = 12", "preset");
    settings.override_with("memory.heads=2");
    const Config config = try_resolve(settings, DataFiles::may_be_missing).config;  // this program knows no tasks, which a config must name
    auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
    const auto memory = MemoryRegistry::instance().get(config.memory.kind).make({config.memory, kPresetHeads, kPresetWidth, kPresetWidth, generator});
    MemoryGates gates({config.model, config.memory, 0, generator}, memory->gates(), kPresetWidth, kPresetWidth);
    for (torch::nn::Module* module : {static_cast<torch::nn::Module*>(memory.get()), static_cast<torch::nn::Module*>(&gates)}) {
      module->to(at::kDouble);
      for (auto& p : module->parameters()) p.add_(at::empty_like(p).normal_(0, 0.3, generator));
    }
    for (const auto& p : memory->named_parameters()) parameters[p.key()] = p.value().detach();
    auto unit = [](const at::Tensor& x) { return x / x.norm(2, {3}, true); };
    State of_gates, of_memory;
    input = {unit(normal({kPresetRows, kPresetHeads, kPresetTokens, kPresetWidth})), unit(normal({kPresetRows, kPresetHeads, kPresetTokens, kPresetWidth})),
             normal({kPresetRows, kPresetHeads, kPresetTokens, kPresetWidth}), gates.forward(normal({kPresetRows, kPresetTokens, 12}), {}, of_gates, nullptr)};
    reads = memory->forward(input, of_memory);
  }
  at::Tensor row(const at::Tensor& x, int64_t t) const { return x.select(2, t).unsqueeze(2); }              // [B,H,1,·]
  at::Tensor outer(int64_t t) const { return row(input.key, t).transpose(2, 3); }                           // [B,H,D,1]
};

/// Reads of a matrix memory that starts at `first` and takes `step` at each token.
at::Tensor matrix_reads(const Preset& p, at::Tensor M, const std::function<at::Tensor(const at::Tensor&, int64_t)>& step) {
  std::vector<at::Tensor> reads;
  for (int64_t t = 0; t < kPresetTokens; ++t) {
    M = step(M, t);
    reads.push_back(at::matmul(p.row(p.input.query, t), M));
  }
  return at::cat(reads, 2);
}

at::Tensor initial(const Preset& p, size_t l = 0) { return p.parameters.at("weights_" + std::to_string(l)).unsqueeze(0).expand({kPresetRows, -1, -1, -1}); }

}  // namespace

TEST_CASE("presets are the rules they are called after: linear attention", "[models][presets]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(1);
  const Preset p("linear_attention");
  REQUIRE(relative_error(p.reads, matrix_reads(p, initial(p), [&](const at::Tensor& M, int64_t t) {
                           return M + at::matmul(p.outer(t), p.row(p.input.value, t));
                         })) <= kExact);
}

TEST_CASE("presets are the rules they are called after: DeltaNet and Gated DeltaNet", "[models][presets]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(2);
  for (const bool gated : {false, true}) {
    const Preset p(gated ? "gated_deltanet" : "deltanet");
    REQUIRE(p.input.gates.count("alpha") == gated);
    REQUIRE(relative_error(p.reads, matrix_reads(p, initial(p), [&](const at::Tensor& M, int64_t t) {
                             const at::Tensor beta = 2 * p.row(p.input.gate("theta"), t), kept = gated ? M * (1 - p.row(p.input.gate("alpha"), t)) : M, k = p.row(p.input.key, t);
                             return kept + beta * at::matmul(p.outer(t), p.row(p.input.value, t) - at::matmul(k, kept));
                           })) <= kExact);
  }
}

TEST_CASE("presets are the rules they are called after: TTT-Linear and TTT-MLP", "[models][presets]") {
  torch::manual_seed(3);
  for (const bool mlp : {false, true}) {
    CAPTURE(mlp);
    const Preset p(mlp ? "ttt_mlp" : "ttt_linear");
    const at::Tensor gain = 1 + p.parameters.at("gain").unsqueeze(0);
    auto f = [&](const at::Tensor& z, const std::vector<at::Tensor>& W) {  // z + LN(network(z)) ⊙ gain
      at::Tensor x = at::matmul(z, W[0]);
      if (mlp) x = at::matmul(at::gelu(x), W[1]);
      return z + at::layer_norm(x, {kPresetWidth}, {}, {}, 1e-5) * gain;
    };
    std::vector<at::Tensor> W(mlp ? 2 : 1);
    for (size_t l = 0; l < W.size(); ++l) W[l] = initial(p, l);
    std::vector<at::Tensor> point, reads;
    for (int64_t t = 0; t < kPresetTokens; ++t) {
      if (t % 16 == 0) point = W;  // a mini-batch of the paper
      std::vector<at::Tensor> at_point;
      for (const at::Tensor& x : point) at_point.push_back(leaf(x));
      const at::Tensor loss = (f(p.row(p.input.key, t), at_point) - p.row(p.input.value, t)).square().sum();
      const auto gradient = torch::autograd::grad({loss}, at_point);
      for (size_t l = 0; l < W.size(); ++l) W[l] = W[l] - p.row(p.input.gate("theta"), t).narrow(3, l, 1) * gradient[l];
      reads.push_back(f(p.row(p.input.query, t), W));
    }
    REQUIRE(relative_error(p.reads, at::cat(reads, 2)) <= kExact);
  }
}
