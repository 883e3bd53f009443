#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <chrono>
#include <fstream>

#include "base/allocator.h"
#include "base/provenance.h"
#include "benchmarks/bench.h"
#include "cli/text_table.h"
#include "kernels/dispatch.h"
#include "eval/runtime.h"

#ifdef MNEME_LIBXSMM
#include <libxsmm.h>
#endif

// LibTorch exports its BLAS (Fortran interface, column-major).
extern "C" void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*, const float*, const int*, const float*,
                       const int*, const float*, float*, const int*) __attribute__((weak));

namespace mneme {
namespace {

constexpr int kSize = 64;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// GF/s of all threads running f(a, b, c) on their own matrices: for each the best of many runs, so short that some are not
/// interrupted on a busy machine. By the clock: the processor time of a process is not up to date while its threads run, and the best
/// of many such differences can be half of the truth.
template <class F>
double product_speed(const F& f) {
  constexpr int kProducts = 100, kRuns = 200;
  const int64_t threads = at::get_num_threads(), floats = kSize * kSize;
  at::Tensor operands = at::empty({threads, 3, floats});
  operands.fill_(1e-3);
  float* data = operands.mutable_data_ptr<float>();
  std::vector<double> best(static_cast<size_t>(threads), 1e9);
  for (int run = 0; run < kRuns; ++run)
    at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) {
        float* a = data + t * 3 * floats;
        const double start = now();
        for (int i = 0; i < kProducts; ++i) f(a, a + floats, a + 2 * floats);
        double& least = best[static_cast<size_t>(t)];
        least = std::min(least, now() - start);
      }
    });
  double sum = 0;
  for (const double seconds : best) sum += 2e-9 * kSize * kSize * kSize * kProducts / seconds;
  return sum;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The most resident memory since the last call, where Linux lets us start that count again.
double peak_since_reset(bool reset) {
  if (reset) {
    std::ofstream("/proc/self/clear_refs") << 5;
    return 0;
  }
  return peak_rss_mib();
}

}  // namespace

BenchPeak measure_peak() {
  BenchPeak peak;
  const float one = 1, zero = 0;
  if (sgemm_)
    peak.blas_gflops = product_speed(
        [&](float* a, float* b, float* c) { sgemm_("N", "N", &kSize, &kSize, &kSize, &one, b, &kSize, a, &kSize, &zero, c, &kSize); });
#ifdef MNEME_LIBXSMM
  if (const libxsmm_smmfunction f = libxsmm_smmdispatch(kSize, kSize, kSize, nullptr, nullptr, nullptr, &one, &zero, nullptr, nullptr))
    peak.libxsmm_gflops = product_speed([&](float* a, float* b, float* c) { f(b, a, c); });
#endif
  peak.own_gflops = product_speed([](float* a, float* b, float* c) { kernels::engine().product(kSize, kSize, kSize, a, b, c); });
  return peak;
}

std::vector<BenchTime> measure_in_turns(int64_t repeats, double seconds, const std::vector<std::function<void()>>& functions) {
  constexpr int64_t kFewest = 3;
  std::vector<BenchTime> results(functions.size());
  std::vector<std::vector<double>> processor_times(functions.size());
  for (size_t i = 0; i < functions.size(); ++i) {
    release_free_memory();
    const double held = rss_mib();
    peak_since_reset(true);
    functions[i]();
    results[i].peak_mib = std::max(0.0, peak_since_reset(false) - held);
  }
  double spent = 0;
  for (int64_t turn = 0; turn < kFewest || (spent < seconds * double(functions.size()) && turn < repeats); ++turn)
    for (size_t i = 0; i < functions.size(); ++i) {
      const double start = now(), processor = processor_seconds();
      functions[i]();
      results[i].runs_s.push_back(now() - start);
      processor_times[i].push_back(processor_seconds() - processor);
      spent += results[i].runs_s.back();
    }
  for (size_t i = 0; i < functions.size(); ++i) {
    results[i].median_s = median(results[i].runs_s);
    results[i].best_s = *std::min_element(results[i].runs_s.begin(), results[i].runs_s.end());
    results[i].processor_s = median(processor_times[i]);
  }
  return results;
}

BenchTime measure(int64_t repeats, double seconds, const std::function<void()>& f) { return measure_in_turns(repeats, seconds, {f})[0]; }

double speed_ratio(const BenchTime& a, const BenchTime& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.runs_s.size(); ++i) ratios.push_back(a.runs_s[i] / b.runs_s[i]);
  return median(ratios);
}

namespace {

std::string number(double value) {
  if (std::isnan(value)) return "-";
  return value != 0 && std::abs(value) < 0.1 ? fmt::format("{:.2g}", value) : fmt::format("{:.2f}", value);
}

}  // namespace

std::vector<std::vector<std::string>> BenchTable::lines() const {
  std::vector<std::vector<std::string>> lines{columns_};
  for (const auto& row : rows_) {
    std::vector<std::string> line;
    for (const Cell& cell : row) {
      if (const auto* text = std::get_if<std::string>(&cell))
        line.push_back(*text);
      else if (const auto* integer = std::get_if<int64_t>(&cell))
        line.push_back(with_separators(*integer));
      else
        line.push_back(number(std::get<double>(cell)));
    }
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::pair<std::string, std::string>> machine_header() {
  return {{"processor", fmt::format("{}, {} usable cores", cpu_model(), usable_cores())},
          {"threads", std::to_string(at::get_num_threads())},
          {"LibTorch", libtorch_version()},
          {"BLAS", blas_description()},
          {"compiler", "GCC " __VERSION__ ", " MNEME_COMPILER_FLAGS},
          {"instruction set", kernels::engine().name},
          {"code", code_version() + (code_dirty() ? " with uncommitted changes" : "")},
          {"measured", utc_now()}};
}

}  // namespace mneme
