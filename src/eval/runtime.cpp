#include "eval/runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

#include "base/allocator.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

/// Seconds of the fastest of `runs` calls.
template <class F>
double fastest(int runs, F&& call) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

/// Cores granted by the control group (cpu.max: "quota period"); 0 = no limit.
double control_group_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  return file >> quota >> period && period > 0 ? quota / period : 0;
}

/// Different files mapped into this process whose name begins so.
std::set<std::string> mapped_libraries(const std::string& name) {
  std::set<std::string> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t slash = line.rfind('/'), begin = line.find('/');
    if (slash != std::string::npos && line.compare(slash + 1, name.size(), name) == 0) found.insert(line.substr(begin));
  }
  return found;
}

void warn_threads(const RuntimeOptions& runtime, std::vector<std::string>& warnings) {
  const int64_t threads = at::get_num_threads();
  if (const std::string crowded = crowding(1, threads); !crowded.empty()) warnings.push_back(crowded);
  if (const char* text = std::getenv("OMP_NUM_THREADS"); text && runtime.threads > std::atoll(text))
    warnings.push_back(fmt::format("OMP_NUM_THREADS = {} is less than runtime.threads = {}; the latter is used", text,
                                   runtime.threads));
  if (const double limit = control_group_cores(); limit > 0 && limit < static_cast<double>(threads))
    warnings.push_back(fmt::format(
        "the control group grants {:.1f} cores, fewer than the {} threads: timings will vary", limit, threads));
}

/// How many of `wanted` threads can be started beside this one, all at once.
int64_t threads_that_start(int64_t wanted) {
  std::mutex gate;
  std::vector<std::thread> started;
  started.reserve(static_cast<size_t>(wanted));
  try {
    const std::lock_guard<std::mutex> closed(gate);
    while (static_cast<int64_t>(started.size()) < wanted) started.emplace_back([&gate] { const std::lock_guard<std::mutex> pass(gate); });
  } catch (const std::system_error&) {
  }
  for (std::thread& thread : started) thread.join();
  return static_cast<int64_t>(started.size());
}

/// OpenMP ends the process where a thread cannot be started, and LibTorch keeps 4 KiB per thread on the stack of the caller.
void require_threads(int64_t threads, const std::string& source) {
  constexpr rlim_t kStackPerThread = 8192;
  rlimit stack{};
  if (::getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur != RLIM_INFINITY && static_cast<rlim_t>(threads) > stack.rlim_cur / kStackPerThread)
    throw ConfigError(fmt::format("{} = {}: the stack of this process (ulimit -s) has room for {} threads; use at most the {} cores it may use", source,
                                  threads, std::max<rlim_t>(1, stack.rlim_cur / kStackPerThread), usable_cores()));
  if (const int64_t can = threads <= 1 ? threads : 1 + threads_that_start(threads - 1); can < threads)
    throw ConfigError(fmt::format("{} = {}: only {} threads can be started here (ulimit -u, the control group's limit, memory); use at most so many, "
                                  "better the {} cores it may use",
                                  source, threads, can, usable_cores()));
}

}  // namespace

std::string crowding(int64_t processes, int64_t threads) {
  const int64_t cores = usable_cores();
  if (processes * threads <= cores) return "";
  if (processes == 1)
    return fmt::format("{} threads on {} usable cores: they will wait for each other; set runtime.threads = {}", threads, cores, cores);
  return fmt::format("{} runs at a time of {} threads each are {} threads on {} usable cores: they will wait for each other; use --jobs {} or "
                     "runtime.threads = {}",
                     processes, threads, processes * threads, cores, std::max<int64_t>(1, cores / threads), std::max<int64_t>(1, cores / processes));
}

int64_t usable_cores() {
  cpu_set_t set;
  int64_t cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  if (const double limit = control_group_cores(); limit > 0)
    cores = std::min(cores, std::max<int64_t>(1, static_cast<int64_t>(limit)));
  return cores;
}

bool device_is_here(const RuntimeOptions& runtime) {
  return runtime.device == "cpu" || (runtime.device == "cuda" && torch::cuda::is_available());
}

at::Device device_of(const RuntimeOptions& runtime) {
  if (runtime.device != "cpu" && runtime.device != "cuda")
    throw ConfigError("runtime.device = " + runtime.device + ": not a device; allowed: cpu, cuda");
  if (!device_is_here(runtime)) throw ConfigError("runtime.device = " + runtime.device + ": this LibTorch finds no such device here; use cpu");
  return at::Device(runtime.device);
}

int64_t set_up_runtime(const RuntimeOptions& runtime) {
  device_of(runtime);  // said before anything is made
  keep_freed_blocks();
  // Before the first parallel region, whose threads inherit the mode.
  at::globalContext().setFlushDenormal(true);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  int64_t threads = runtime.threads;
  const char* source = "runtime.threads";
  if (threads == 0) {
    const char* given = std::getenv("OMP_NUM_THREADS");
    const bool is_given = given && std::atoll(given) > 0;
    threads = is_given ? std::atoll(given) : usable_cores();
    if (is_given) source = "OMP_NUM_THREADS";
  }
  require_threads(threads, source);
  at::set_num_threads(static_cast<int>(threads));
  return at::get_num_threads();
}

std::string libtorch_version() { return TORCH_VERSION; }

std::string blas_description() {
  std::string blas = "unknown BLAS";
  for (const std::string& line : split(at::get_mkl_version(), '\n'))
    if (!line.empty()) blas = line;
  std::string openmp;
  for (const std::string& line : split(at::get_openmp_version(), '\n'))
    if (!line.empty()) openmp = line;
  return openmp.empty() ? blas : blas + "; " + openmp;
}

GemmSpeed measure_gemm(int64_t threads) {
  constexpr int64_t kLarge = 1024, kSmall = 64, kBatch = 256;
  const int before = at::get_num_threads();
  at::set_num_threads(static_cast<int>(threads));
  GemmSpeed speed{threads, 0, 0};
  const at::Tensor a = at::ones({kLarge, kLarge}), b = at::ones({kLarge, kLarge});
  const at::Tensor tiles_a = at::ones({kBatch, kSmall, kSmall}), tiles_b = at::ones({kBatch, kSmall, kSmall});
  at::Tensor c = at::empty({kLarge, kLarge}), tiles_c = at::empty({kBatch, kSmall, kSmall});
  speed.large_gflops = 2e-9 * kLarge * kLarge * kLarge / fastest(8, [&] { at::mm_out(c, a, b); });
  speed.batched_gflops =
      2e-9 * kBatch * kSmall * kSmall * kSmall / fastest(40, [&] { at::bmm_out(tiles_c, tiles_a, tiles_b); });
  at::set_num_threads(before);
  return speed;
}

std::vector<std::string> runtime_warnings(const RuntimeOptions& runtime) {
  std::vector<std::string> warnings;
  warn_threads(runtime, warnings);
  if (const auto openmp = mapped_libraries("libgomp"); openmp.size() > 1)
    warnings.push_back("two OpenMP runtimes are loaded (" + join({openmp.begin(), openmp.end()}, ", ") +
                       "): their threads compete; put LibTorch's folder first in the run path");
#ifndef NDEBUG
  warnings.push_back("this is a debug build: several times slower; build with the preset `release`");
#endif
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2"))
    warnings.push_back("this processor has no AVX2: matrix products will be several times slower");
#endif
  if (!at::hasMKL() && !at::hasLAPACK())
    warnings.push_back("LibTorch was built without MKL or LAPACK: use the official wheel");
  return warnings;
}

}  // namespace mneme
