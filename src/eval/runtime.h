// The process as LibTorch sees it: threads, allocator, floating-point modes, BLAS; and what is wrong with it.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace mneme {

/// Where tensors live. ConfigError where this machine or LibTorch has no such device.
at::Device device_of(const RuntimeOptions& runtime);
/// Whether device_of would give one.
bool device_is_here(const RuntimeOptions& runtime);

/// Call once, before the first tensor operation: threads, deterministic algorithms, denormals flushed, an allocator that
/// keeps what is freed (base/allocator.h). Returns the number of threads. ConfigError: as device_of; more threads than this process can start.
int64_t set_up_runtime(const RuntimeOptions& runtime);

std::string libtorch_version();
/// "MKL 2024.2 (2 threads), OpenMP 4.5": BLAS and threading of this LibTorch, one line.
std::string blas_description();

struct GemmSpeed {
  int64_t threads = 0;
  double large_gflops = 0;    ///< fp32, 1024 × 1024 × 1024
  double batched_gflops = 0;  ///< fp32, 256 products of 64 × 64 × 64: what memories are made of
};

/// Measured here and now, best of several runs (about half a second). Leaves the thread count as it was.
GemmSpeed measure_gemm(int64_t threads);

/// Processors this process may use: affinity and control-group limit.
int64_t usable_cores();

/// "", or what is wrong with so many processes at a time, of so many threads each, on these cores.
std::string crowding(int64_t processes, int64_t threads);

/// What will hurt: one line each, with the fix. Empty = all good.
std::vector<std::string> runtime_warnings(const RuntimeOptions& runtime);

}  // namespace mneme
