// mneme bench gradients: how far an MLP memory's reads are from the exact recurrence, by where its gradients are taken, and what
// each way costs. Error: largest difference of a read from that of refresh 1, relative to the largest read, fp64, 128 tokens,
// width 64. Time: forward and backward of the tiled form, fp32, against `refresh` of the same interval.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include "experiments/bench.h"
#include "memory/kernels/mlp.h"

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

double seconds_of(const BenchOptions& options, const Inputs& in, memory::Gradient gradient, int64_t refresh, int64_t sweeps) {
  memory::MlpCall call = call_of(in, gradient, refresh, sweeps, at::kFloat);
  const std::vector<at::Tensor> leaves{call.key.requires_grad_(true), call.value.requires_grad_(true), call.query.requires_grad_(true)};
  return measure(options.repeats, options.seconds, [&] { torch::autograd::grad({reads_of(call).square().sum()}, leaves); }).median_s;
}

}  // namespace

BenchResult bench_gradients(const BenchOptions& options) {
  using memory::Gradient;
  struct Mode {
    std::string name;
    Gradient gradient;
    int64_t sweeps;
  };
  const std::vector<Mode> modes{{"refresh", Gradient::refresh, 0},   {"exact_last", Gradient::exact_last, 0}, {"sweeps 1", Gradient::sweeps, 1},
                                {"sweeps 2", Gradient::sweeps, 2}, {"sweeps 3", Gradient::sweeps, 3}};
  BenchResult result{{{"tokens, rows, width", fmt::format("{}, {}, {}", kTokens, kRows, kWidth)}},
                     BenchTable({"keys", "theta", "refresh", "gradient", "read_error", "time_vs_refresh"})};
  for (const bool repeated : {false, true})
    for (const double theta : {0.15, 0.5}) {
      const Inputs in = make_inputs(repeated, theta);
      const at::Tensor exact = reads_of(call_of(in, Gradient::refresh, 1, 0, at::kDouble));
      for (const int64_t refresh : {8, 16, 64}) {
        if (options.progress) options.progress(fmt::format("{} keys, theta {}, refresh {}", repeated ? "eight" : "distinct", theta, refresh));
        const double base = seconds_of(options, in, Gradient::refresh, refresh, 0);
        for (const Mode& mode : modes) {
          const at::Tensor reads = reads_of(call_of(in, mode.gradient, refresh, mode.sweeps, at::kDouble));
          const double error = ((reads - exact).abs().max() / exact.abs().max()).item<double>();
          const double time = mode.gradient == Gradient::refresh ? base : seconds_of(options, in, mode.gradient, refresh, mode.sweeps);
          result.table.add({std::string(repeated ? "eight, repeated" : "distinct"), theta, refresh, mode.name, error, time / base});
        }
      }
    }
  return result;
}

}  // namespace mneme
