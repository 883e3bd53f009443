// mneme bench memory: the memories' kernels beside each other. Operations: docs/performance.md.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "benchmarks/bench.h"
#include "kernels/dispatch.h"
#include "kernels/network.h"
#include "mneme/errors.h"
#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {
namespace {

struct Case {
  std::string memory, gradient;  // mlp: refresh, exact_last, sweeps1 … sweeps9; linear: exact, refresh
  int64_t heads, tokens, width, expansion = 1, refresh = 64;

  std::string text() const { return fmt::format("{}:{}:{}x{}x{}x{}", memory, gradient, heads, tokens, width, expansion); }
  bool mlp() const { return memory == "mlp"; }
  bool stale() const { return gradient == "refresh"; }
  int64_t sweeps() const { return mlp() && gradient.size() == 7 && gradient.starts_with("sweeps") ? gradient[6] - '0' : 0; }

  /// Floating-point operations of one token and head, forward; backward is twice that.
  double flops() const {
    const double C = double(refresh), D = double(width), r = double(expansion), P = 2 * r * D * D;
    // Of each sweep: the last layer's weights and momentum forth and back, and five products inside the tile.
    const double swept = sweeps() ? 2 * P + 2 * C * D + double(sweeps()) * (4 * P + C * D * (4 + 6 * r)) : 0;
    if (mlp()) return stale() ? 11 * P + 4 * C * D * (1 + r) + 2 * C * C : 13 * P + 8 * C * D * (1 + r) + 4 * C * C + swept;
    return stale() ? 10 * D * D + 4 * C * D + 2 * C * C : 12 * D * D + 8 * C * D + 2 * C * C;
  }
};

const std::vector<std::string> kCases{"mlp:refresh:16x1024x64x2",    "mlp:refresh:16x1024x64x4", "mlp:exact_last:16x1024x64x2",
                                      "mlp:exact_last:16x1024x64x4", "mlp:sweeps1:16x1024x64x2", "linear:exact:16x1024x64",
                                      "linear:refresh:16x1024x64"};
constexpr int64_t kReferenceTokens = 64;

Case parse(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  auto fail = [&] {
    return UsageError(
        fmt::format("--shapes {}: a shape is KIND:GRADIENT:HEADSxTOKENSxWIDTH[xEXPANSION], e.g. mlp:refresh:16x1024x64x2, "
                    "mlp:sweeps1:16x1024x64x2 or linear:exact:16x1024x64",
                    text));
  };
  if (parts.size() != 3) throw fail();
  Case c{parts[0], parts[1], 0, 0, 0};
  const bool exact_mlp = c.gradient == "exact_last" || (c.sweeps() >= 1 && c.sweeps() <= 9);
  const bool known = c.mlp() ? c.stale() || exact_mlp : c.memory == "linear" && (c.stale() || c.gradient == "exact");
  const std::vector<std::string> sizes = split(parts[2], 'x');
  if (!known || sizes.size() < 3 || sizes.size() > 4) throw fail();
  int64_t* const fields[] = {&c.heads, &c.tokens, &c.width, &c.expansion};
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto [end, error] = std::from_chars(sizes[i].data(), sizes[i].data() + sizes[i].size(), *fields[i]);
    if (error != std::errc() || *end || *fields[i] < 1) throw fail();
  }
  return c;
}

/// One kernel on one case: `run` returns reads; inputs are leaves where gradients are wanted.
struct Subject {
  std::vector<at::Tensor> inputs;
  std::function<at::Tensor()> run;
};

at::Tensor uniform(at::IntArrayRef sizes, double high) { return at::rand(sizes) * high; }

MemoryInput random_input(const Case& c, int64_t tokens) {
  auto rows = [&] { return at::randn({1, c.heads, tokens, c.width}); };
  auto unit = [&] {
    const at::Tensor x = rows();
    return x / x.norm(2, -1, true);
  };
  const int64_t G = c.mlp() ? 2 : 1;
  auto gates = [&](double high) { return uniform({1, c.heads, tokens, G}, high); };
  return {unit(), unit(), rows(), {{"theta", gates(.02)}, {"alpha", gates(.02)}, {"eta", gates(.9)}}};
}

Subject plugin_subject(const Case& c, const std::string& kernel) {
  MemoryOptions options;
  options.kind = c.mlp() ? "neural_mlp" : "linear";
  options.kernel = kernel;
  options.heads = c.heads, options.head_width = c.width, options.momentum_damping = false;
  if (c.mlp()) set_own(options, "expansion", std::to_string(c.expansion)), set_own(options, "sweeps", std::to_string(std::max<int64_t>(c.sweeps(), 1)));
  options.gradient = c.sweeps() ? "sweeps" : c.gradient;
  options.refresh = c.refresh, options.retention_target = "zero", options.guard = false;
  const auto memory =
      MemoryRegistry::instance().get(options.kind).make({options, c.heads, c.width, c.width, at::make_generator<at::CPUGeneratorImpl>(1)});
  const MemoryInput input = random_input(c, kernel == "reference" ? std::min(c.tokens, kReferenceTokens) : c.tokens);
  return {{input.query, input.key, input.value, input.gate("theta"), input.gate("alpha"), input.gate("eta")}, [=] {
            State state;
            memory->start(state, 1);
            return memory->forward(input, state);
          }};
}

Subject fused_subject(const Case& c) {
  const MemoryInput x = random_input(c, c.tokens);
  Subject subject{{x.query, x.key, x.value, x.gate("theta"), x.gate("alpha"), x.gate("eta")}, {}};
  kernels::NetworkCall call{x.query, x.key, x.value, x.gate("theta"), x.gate("alpha"), x.gate("eta")};
  call.form = c.mlp() ? kernels::Form::feature : kernels::Form::linear;
  call.exact_last = !c.stale(), call.refresh = c.refresh, call.sweeps = c.sweeps();
  const int64_t H = c.heads, D = c.width, E = c.expansion * D;
  kernels::NetworkState start;
  if (c.mlp())
    start.weights = {at::randn({1, H, D, E}), at::randn({1, H, E, D}) * .1};
  else
    start.weights = {at::zeros({1, H, D, D})};
  for (const at::Tensor& w : start.weights) start.momentum.push_back(at::zeros_like(w));
  subject.run = [call, start] {
    kernels::NetworkState state = start;
    return kernels::network(call, state);
  };
  return subject;
}

}  // namespace

BenchResult bench_memory(const BenchOptions& options) {
  const std::vector<std::string> all{"reference", "chunked", "fused"};
  const std::vector<std::string>& kernels = options.kernels.empty() ? all : options.kernels;
  for (const std::string& kernel : kernels)
    if (std::find(all.begin(), all.end(), kernel) == all.end())
      throw UsageError(fmt::format("--kernels {}: there are reference, chunked and fused{}", kernel, did_you_mean(kernel, all)));
  std::vector<Case> cases;
  for (const std::string& text : options.shapes.empty() ? kCases : options.shapes) cases.push_back(parse(text));
  at::manual_seed(1);
  const BenchPeak peak = measure_peak();
  BenchResult result{
      {{"peak", fmt::format("{:.0f} GF/s (64×64×64 in cache: BLAS {:.0f}, libxsmm {}; own {:.0f})", peak.gflops(), peak.blas_gflops,
                            peak.libxsmm_gflops > 0 ? fmt::format("{:.0f}", peak.libxsmm_gflops) : "not compiled in", peak.own_gflops)}},
      BenchTable({"memory", "gradient", "heads", "tokens", "width", "expansion", "refresh", "kernel", "pass", "ms", "tokens_per_s",
                  "gflops", "percent_of_peak", "percent_while_running", "busy", "peak_mib"})};
  for (const Case& c : cases)
    for (const std::string& kernel : kernels) {
      if (c.sweeps() && kernel == "reference") continue;  // the token loop has none
      if (options.progress) options.progress(c.text() + " " + kernel);
      Subject subject = kernel == "fused" ? fused_subject(c) : plugin_subject(c, kernel);
      const int64_t tokens = subject.inputs[0].size(2);
      for (const bool backward : {false, true}) {
        for (at::Tensor& x : subject.inputs) x.requires_grad_(backward);
        const at::Tensor weight = at::randn(subject.inputs[2].sizes());
        const BenchTime time = measure(options.repeats, options.seconds, [&] {
          const at::AutoGradMode mode(backward);
          const at::Tensor reads = subject.run();
          if (backward) torch::autograd::grad({reads}, subject.inputs, {weight}, false, false, true);
        });
        const double gflop = c.flops() * (backward ? 3 : 1) * double(c.heads * tokens) * 1e-9, gflops = gflop / time.median_s;
        const auto threads = double(at::get_num_threads());
        result.table.add({c.memory, c.gradient, c.heads, tokens, c.width, c.expansion, c.refresh, kernel,
                          std::string(backward ? "forward+backward" : "forward"), time.median_s * 1e3,
                          int64_t(double(tokens) / time.median_s), gflops, 100 * gflops / peak.gflops(),
                          100 * gflop * threads / (time.processor_s * peak.gflops()), time.busy(at::get_num_threads()), time.peak_mib});
      }
    }
  return result;
}

}  // namespace mneme
