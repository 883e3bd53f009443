// mneme bench stability: the largest stable step of a linear memory with stale gradients, theory beside measurement.
//
// Theory, for one unit key written again and again towards v = 0: along the key the memory is a number w with momentum s, and a
// refresh interval of C tokens is the linear map of (w, s) made of  s ← η s − 2 θ w_refresh,  w ← (1 − α) w + s.  It is stable
// where its spectral radius is below 1; for C = 1 that is θ < (1 + η)(2 − α)/2. Distinct keys allow more; for them there is only
// the measurement. With the guard (memory/guard.h) no step up to the highest tried is unstable.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <complex>

#include "benchmarks/bench.h"
#include "memory/network_kernels.h"

namespace mneme {
namespace {

constexpr double kHighest = 4;
constexpr int64_t kWidth = 32, kTokens = 2048;

struct Regime {
  int64_t refresh;
  double eta, alpha;
  bool repeated;
};

double spectral_radius(const Regime& s, double theta) {
  std::array<std::array<double, 2>, 2> map{};  // columns: images of (1,0) and (0,1)
  for (int column = 0; column < 2; ++column) {
    double w = column == 0, m = column == 1;
    const double at_refresh = w;
    for (int64_t t = 0; t < s.refresh; ++t) {
      m = s.eta * m - 2 * theta * at_refresh;
      w = (1 - s.alpha) * w + m;
    }
    map[column] = {w, m};
  }
  const double trace = map[0][0] + map[1][1], determinant = map[0][0] * map[1][1] - map[1][0] * map[0][1];
  const std::complex<double> root = std::sqrt(std::complex<double>(trace * trace / 4 - determinant));
  return std::max(std::abs(trace / 2 + root), std::abs(trace / 2 - root));
}

// Writes zeros under the keys and looks whether what was there shrinks.
bool shrinks(const Regime& s, double theta, bool guard) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  at::Tensor key = at::empty({1, 1, s.repeated ? 1 : kTokens, kWidth}, wide).normal_(0, 1, generator);
  key = (key / key.norm(2, {3}, true)).expand({1, 1, kTokens, kWidth}).contiguous();
  auto gate = [&](double value) { return at::full({1, 1, kTokens, 1}, value, wide); };
  memory::NetworkCall call;
  call.net.depth = 1, call.net.form = memory::Form::plain;
  call.query = key, call.key = key, call.value = at::zeros_like(key);
  call.theta = gate(theta), call.alpha = gate(s.alpha), call.eta = gate(s.eta);
  call.refresh = s.refresh, call.guard = guard;
  call.gradient = s.refresh == 1 ? memory::Gradient::exact_last : memory::Gradient::refresh;
  if (s.refresh == 1) call.refresh = kTokens;  // exact: no refresh points
  // Something under every key: the identity.
  memory::NetworkWeights w;
  w.weights = {at::eye(kWidth, wide).view({1, 1, kWidth, kWidth})}, w.momentum = {at::zeros_like(w.weights[0])};
  if (guard) w.load = {at::zeros_like(w.weights[0])};
  const at::Tensor first = key.narrow(2, 0, 1);
  const double before = at::matmul(first, w.weights[0]).norm().item<double>();
  memory::network_chunked(call, w);
  const double after = at::matmul(first, w.weights[0]).norm().item<double>();
  return std::isfinite(after) && after < before;
}

template <class F>
double largest(const F& stable) {
  if (stable(kHighest)) return kHighest;
  double low = 0, high = kHighest;
  while (high - low > 0.01 * high && high > 1e-4) {
    const double middle = low > 0 ? std::sqrt(low * high) : high / 4;
    (stable(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

BenchResult bench_stability(const BenchOptions& options) {
  BenchResult result{{{"tokens", std::to_string(kTokens)}, {"highest step tried", fmt::format("{}", kHighest)}},
                     BenchTable({"keys", "refresh", "eta", "alpha", "theory", "measured", "guarded"})};
  at::NoGradGuard no_grad;
  for (const bool repeated : {true, false})
    for (const int64_t refresh : {1, 4, 16, 64})
      for (const double eta : {0.0, 0.5, 0.9})
        for (const double alpha : {0.0, 0.05}) {
          const Regime s{refresh, eta, alpha, repeated};
          if (options.progress) options.progress(fmt::format("{} keys, refresh {}, eta {}, alpha {}", repeated ? "repeated" : "random", refresh, eta, alpha));
          const double theory = repeated ? largest([&](double theta) { return spectral_radius(s, theta) < 1; }) : std::nan("");
          const double measured = largest([&](double theta) { return shrinks(s, theta, false); });
          const double guarded = refresh == 1 ? std::nan("") : largest([&](double theta) { return shrinks(s, theta, true); });
          result.table.add({std::string(repeated ? "repeated" : "random"), refresh, eta, alpha, theory, measured, guarded});
        }
  return result;
}

}  // namespace mneme
