// mneme bench gradients: how far an MLP memory's reads are from the exact recurrence, by where its gradients are taken, and what
// each way costs. Error: largest difference of a read from that of refresh 1, relative to the largest read, fp64, 128 tokens,
// width 64. Time, fp32, memory.kernel = auto (fused), against stale gradients at refresh 64: of the memory, forward and backward of
// 4 heads × 1024 tokens; of a whole model of the kind that experiments/gradient_modes trains, likewise.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "benchmarks/bench.h"
#include "memory/network_kernels.h"
#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {
namespace {

constexpr int64_t kTokens = 128, kWidth = 64, kRows = 8;

struct Inputs {
  at::Tensor key, value, query, lower;
  double theta;
};

Inputs make_inputs(bool repeated, double theta) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  auto normal = [&](at::IntArrayRef sizes) { return at::empty(sizes, wide).normal_(0, 1, generator); };
  auto unit = [](const at::Tensor& x) { return x / x.norm(2, {2}, true); };
  at::Tensor key = unit(normal({kRows, repeated ? 8 : kTokens, kWidth}));
  if (repeated) key = key.repeat({1, kTokens / 8, 1});
  const at::Tensor value = unit(normal({kRows, kTokens, kWidth})), query = key.flip(1);
  return {key, value, query, std::get<0>(at::linalg_qr(normal({kRows, kWidth, kWidth}))) * 8, theta};
}

struct Mode {
  std::string name;
  memory::Gradient gradient;
  int64_t refresh, sweeps = 0;
  bool guard = false;

  MemoryOptions options(int64_t heads) const {
    MemoryOptions o;
    o.kind = "neural_mlp", o.heads = heads, o.refresh = refresh, o.guard = guard, o.momentum_damping = false;
    set_own(o, "sweeps", std::to_string(std::max<int64_t>(sweeps, 1)));
    o.gradient = gradient == memory::Gradient::refresh ? "refresh" : name;
    return o;
  }
};

std::vector<Mode> modes() {
  using memory::Gradient;
  std::vector<Mode> result{{"refresh", Gradient::refresh, 1}};  // the exact recurrence
  for (const int64_t refresh : {8, 16, 64}) {
    result.push_back({"refresh", Gradient::refresh, refresh});
    result.push_back({"refresh, guarded", Gradient::refresh, refresh, 0, true});
    result.push_back({"exact_last", Gradient::exact_last, refresh});
    for (const int64_t sweeps : {1, 2, 3}) result.push_back({"sweeps", Gradient::sweeps, refresh, sweeps});
  }
  return result;
}

// The rows as those of one head each.
memory::NetworkCall call_of(const Inputs& in, const Mode& mode) {
  auto gates = [&](double lower, double last) { return at::tensor({lower, last}, in.key.options()).expand({kRows, 1, kTokens, 2}); };
  memory::NetworkCall call;
  call.query = in.query.unsqueeze(1), call.key = in.key.unsqueeze(1), call.value = in.value.unsqueeze(1);
  call.theta = gates(0.1 * in.theta, in.theta), call.alpha = gates(1e-4, 1e-4), call.eta = gates(0, 0);
  call.gradient = mode.gradient, call.refresh = mode.refresh, call.sweeps = mode.sweeps, call.guard = mode.guard;
  call.initial = {in.lower.unsqueeze(1), at::zeros({kRows, 1, kWidth, kWidth}, in.key.options())};
  return call;
}

at::Tensor reads_of(const memory::NetworkCall& call) {
  memory::NetworkWeights w;
  w.weights = call.initial, w.momentum = {at::zeros_like(w.weights[0]), at::zeros_like(w.weights[1])};
  if (call.guard) w.load = {at::zeros_like(w.weights[1]), at::zeros_like(w.weights[1])};
  if (call.gradient == memory::Gradient::sweeps)
    w.sweep_weights.assign(call.sweeps, w.weights), w.sweep_momentum.assign(call.sweeps, w.momentum);
  return memory::network_chunked(call, w);
}

/// Forward and backward of one call of the memory that a config with this mode makes.
std::function<void()> memory_step(const Mode& mode) {
  constexpr int64_t kHeads = 4, kCallTokens = 1024;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto options = std::make_shared<MemoryOptions>(mode.options(kHeads));  // a memory may keep a reference
  const std::shared_ptr<Memory> memory = MemoryRegistry::instance().get("neural_mlp").make({*options, kHeads, kWidth, kWidth, generator});
  auto rows = [&] { return at::empty({1, kHeads, kCallTokens, kWidth}).normal_(0, 1, generator); };
  auto unit = [](const at::Tensor& x) { return (x / x.norm(2, {3}, true)).requires_grad_(true); };
  auto gate = [](double value) { return at::full({1, kHeads, kCallTokens, 2}, value); };
  const MemoryInput input{unit(rows()), unit(rows()), rows().requires_grad_(true), {{"theta", gate(.02)}, {"alpha", gate(1e-4)}, {"eta", gate(.3)}}};
  return [options, memory, input] {
    State state;
    torch::autograd::grad({memory->forward(input, state).square().sum()}, {input.query, input.key, input.value});
  };
}

/// Forward and backward of an LMM of configs/base.ini, which has no part but its memories, on 16 × 256 tokens.
std::function<void()> model_step(const Mode& mode) {
  constexpr int64_t kVocab = 512, kBatch = 16, kLength = 256;
  ModelOptions options;
  options.kind = "lmm", options.layers = 2, options.width = kWidth, options.ffn = "none", options.positions = "none";
  options.tie_embeddings = false, options.conv_width = 4, options.conv_init = "shift";
  const auto model = std::make_shared<SequenceModel>(options, mode.options(1), SequenceModel::Shape{kVocab, kLength}, 1);
  const at::Tensor tokens = at::randint(kVocab, {kBatch, kLength}, at::kLong), targets = at::randint(kVocab, {kBatch * kLength}, at::kLong);
  return [=] {
    State state;
    ForwardContext context;
    const at::Tensor loss = at::cross_entropy_loss(model->forward(tokens, state, context).view({kBatch * kLength, kVocab}), targets);
    torch::autograd::grad({loss}, model->parameters(), {}, false, false, true);
  };
}

}  // namespace

BenchResult bench_gradients(const BenchOptions& options) {
  const std::vector<Mode> all = modes();
  if (options.progress) options.progress("time");
  at::manual_seed(1);
  std::vector<std::function<void()>> of_memory, of_model;
  for (const Mode& mode : all) of_memory.push_back(memory_step(mode)), of_model.push_back(model_step(mode));
  const std::vector<BenchTime> memory = measure_in_turns(options.repeats, options.seconds, of_memory),
                               model = measure_in_turns(options.repeats, options.seconds, of_model);
  size_t base = 0;
  while (all[base].name != "refresh" || all[base].refresh != 64) ++base;
  BenchResult result{{{"errors", fmt::format("{} tokens, {} rows, width {}, fp64", kTokens, kRows, kWidth)},
                      {"memory_time", "forward and backward, 4 heads × 1024 tokens; ratio to refresh 64: median over turns"},
                      {"model_time", "forward and backward of an LMM, 2 layers × width 64, 16 × 256 tokens; the same ratio"}},
                     BenchTable({"keys", "theta", "refresh", "gradient", "sweeps", "read_error", "memory_time", "model_time"})};
  for (const bool repeated : {false, true})
    for (const double theta : {0.15, 0.5}) {
      if (options.progress) options.progress(fmt::format("{} keys, theta {}", repeated ? "eight" : "distinct", theta));
      const Inputs in = make_inputs(repeated, theta);
      const at::Tensor exact = reads_of(call_of(in, all[0]));
      for (size_t i = 0; i < all.size(); ++i) {
        const at::Tensor reads = reads_of(call_of(in, all[i]));
        const double error = ((reads - exact).abs().max() / exact.abs().max()).item<double>();
        result.table.add({std::string(repeated ? "eight, repeated" : "distinct"), theta, all[i].refresh, all[i].name, all[i].sweeps, error,
                          speed_ratio(memory[i], memory[base]), speed_ratio(model[i], model[base])});
      }
    }
  return result;
}

}  // namespace mneme
