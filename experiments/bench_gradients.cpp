// mneme bench gradients: how far an MLP memory's reads are from the exact recurrence, by where its gradients are taken, and what
// each way costs. Error: largest difference of a read from that of refresh 1, relative to the largest read, fp64, 128 tokens,
// width 64. Time: forward and backward of the memory as a model runs it (memory.kernel = auto: fused), fp32,
// 4 heads × 1024 tokens, against stale gradients at refresh 64.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "experiments/bench.h"
#include "memory/kernels/mlp.h"
#include "mneme/memory.h"

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

memory::MlpCall call_of(const Inputs& in, memory::Gradient gradient, int64_t refresh, int64_t sweeps, at::ScalarType dtype) {
  auto gate = [&](double value) { return at::full({kRows, kTokens}, value, at::TensorOptions().dtype(dtype)); };
  memory::MlpCall call;
  call.query = in.query.to(dtype), call.key = in.key.to(dtype), call.value = in.value.to(dtype);
  call.theta = {gate(0.1 * in.theta), gate(in.theta)}, call.alpha = {gate(1e-4), gate(1e-4)}, call.eta = {gate(0), gate(0)};
  call.gradient = gradient, call.refresh = refresh, call.sweeps = sweeps;
  call.initial = {in.lower.to(dtype), at::zeros_like(call.key.new_empty({kRows, kWidth, kWidth}))};
  return call;
}

at::Tensor reads_of(const memory::MlpCall& call) {
  memory::MlpWeights w;
  w.weights = call.initial, w.momentum = {at::zeros_like(w.weights[0]), at::zeros_like(w.weights[1])};
  if (call.gradient == memory::Gradient::sweeps)
    w.sweep_weights.assign(call.sweeps, w.weights), w.sweep_momentum.assign(call.sweeps, w.momentum);
  return memory::mlp_chunked(call, w);
}

struct Mode {
  std::string name;
  memory::Gradient gradient;
  int64_t refresh, sweeps = 0;
};

std::vector<Mode> modes() {
  using memory::Gradient;
  std::vector<Mode> result{{"refresh", Gradient::refresh, 1}};  // the exact recurrence
  for (const int64_t refresh : {8, 16, 64}) {
    result.push_back({"refresh", Gradient::refresh, refresh});
    result.push_back({"exact_last", Gradient::exact_last, refresh});
    for (const int64_t sweeps : {1, 2, 3}) result.push_back({"sweeps", Gradient::sweeps, refresh, sweeps});
  }
  return result;
}

/// Forward and backward of one call of the memory that a config with this mode makes.
std::function<void()> step_of(const Mode& mode) {
  constexpr int64_t kHeads = 4, kCallTokens = 1024;
  MemoryOptions options;
  options.kind = "neural_mlp", options.heads = kHeads, options.gradient = mode.name, options.refresh = mode.refresh;
  options.sweeps = std::max<int64_t>(mode.sweeps, 1), options.guard = false;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const std::shared_ptr<Memory> memory = MemoryRegistry::instance().get("neural_mlp").make({options, kHeads, kWidth, generator});
  auto rows = [&] { return at::empty({1, kHeads, kCallTokens, kWidth}).normal_(0, 1, generator); };
  auto unit = [](const at::Tensor& x) { return (x / x.norm(2, {3}, true)).requires_grad_(true); };
  auto gate = [](double value) { return at::full({1, kHeads, kCallTokens, 2}, value); };
  const MemoryInput input{unit(rows()), unit(rows()), rows().requires_grad_(true), gate(.02), gate(1e-4), gate(.3)};
  return [memory, input] {
    State state;
    torch::autograd::grad({memory->forward(input, state).square().sum()}, {input.query, input.key, input.value});
  };
}

}  // namespace

BenchResult bench_gradients(const BenchOptions& options) {
  const std::vector<Mode> all = modes();
  if (options.progress) options.progress("time");
  std::vector<std::function<void()>> steps;
  for (const Mode& mode : all) steps.push_back(step_of(mode));
  const std::vector<BenchTime> times = measure_in_turns(options.repeats, options.seconds, steps);
  size_t base = 0;
  while (all[base].name != "refresh" || all[base].refresh != 64) ++base;
  BenchResult result{{{"errors", fmt::format("{} tokens, {} rows, width {}, fp64", kTokens, kRows, kWidth)},
                      {"time", "of the memory, forward and backward, 4 heads × 1024 tokens; ratio: median over turns"}},
                     BenchTable({"keys", "theta", "refresh", "gradient", "sweeps", "read_error", "time_vs_refresh_64"})};
  for (const bool repeated : {false, true})
    for (const double theta : {0.15, 0.5}) {
      if (options.progress) options.progress(fmt::format("{} keys, theta {}", repeated ? "eight" : "distinct", theta));
      const Inputs in = make_inputs(repeated, theta);
      const at::Tensor exact = reads_of(call_of(in, memory::Gradient::refresh, 1, 0, at::kDouble));
      for (size_t i = 0; i < all.size(); ++i) {
        const at::Tensor reads = reads_of(call_of(in, all[i].gradient, all[i].refresh, all[i].sweeps, at::kDouble));
        const double error = ((reads - exact).abs().max() / exact.abs().max()).item<double>();
        result.table.add({std::string(repeated ? "eight, repeated" : "distinct"), theta, all[i].refresh, all[i].name, all[i].sweeps, error,
                          speed_ratio(times[i], times[base])});
      }
    }
  return result;
}

}  // namespace mneme
