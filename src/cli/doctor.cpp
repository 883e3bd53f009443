// mneme doctor: what this program runs on, how fast that is, and what will hurt.
#include <ATen/Context.h>
#include <fmt/format.h>
#include <hdf5.h>

#include <fstream>

#include "base/allocator.h"
#include "base/provenance.h"
#include "cli/program.h"
#include "cli/text_table.h"
#include "kernels/dispatch.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

/// "7.8 GiB, 5.1 GiB available", as the system says.
std::string memory_text() {
  std::ifstream file("/proc/meminfo");
  double total = 0, available = 0;
  std::string name, unit;
  for (double kib = 0; file >> name >> kib >> unit;) {
    if (name == "MemTotal:") total = kib;
    if (name == "MemAvailable:") available = kib;
  }
  constexpr double kKibPerGib = 1024 * 1024;
  return fmt::format("{:.1f} GiB, {:.1f} GiB available", total / kKibPerGib, available / kKibPerGib);
}

/// "avx2; this processor also runs generic (MNEME_ISA chooses)"
std::string engines_text() {
  std::string others;
  for (const kernels::Engine* e : kernels::engines())
    if (e != &kernels::engine()) others += (others.empty() ? "" : ", ") + std::string(e->name);
  return kernels::engine().name + (others.empty() ? ", all that this processor runs" : "; this processor also runs " + others + " (MNEME_ISA chooses)");
}

std::string devices() {
  return at::hasCUDA() ? fmt::format("cpu, cuda ({})", at::getNumGPUs()) : "cpu (this LibTorch has no CUDA device)";
}

std::string speed_table(const std::vector<GemmSpeed>& speeds) {
  std::vector<std::vector<std::string>> rows{{"threads", "1024×1024×1024", "256 of 64×64×64"}};
  for (const GemmSpeed& speed : speeds)
    rows.push_back({std::to_string(speed.threads), fmt::format("{:.0f}", speed.large_gflops),
                    fmt::format("{:.0f}", speed.batched_gflops)});
  return text_table(rows);
}

/// Threads that bring less than this are worth a warning.
constexpr double kWorthwhile = 1.2;

int doctor(const CommandLine& line) {
  line.refuse_names();
  line.refuse_overrides();
  RuntimeOptions runtime;
  const int64_t threads = set_up_runtime(runtime);
  fmt::print("{}",
             text_table({{"program", "mneme " + code_version() + (code_dirty() ? " with uncommitted changes" : "")},
                         {"LibTorch", libtorch_version()},
                         {"BLAS", blas_description()},
                         {"HDF5", hdf5_version()},
                         {"allocator", allocator_description()},
                         {"processor", fmt::format("{}, {} usable cores", cpu_model(), usable_cores())},
                         {"kernels", engines_text()},
                         {"memory", memory_text()},
                         {"devices", devices()},
                         {"threads", std::to_string(threads)}}));
  std::vector<GemmSpeed> speeds{measure_gemm(1)};
  if (threads > 1) speeds.push_back(measure_gemm(threads));
  fmt::print("\nmatrix products, float32, GF/s measured now\n{}", speed_table(speeds));
  std::vector<std::string> warnings = runtime_warnings(runtime);
  if (speeds.back().large_gflops < kWorthwhile * speeds.front().large_gflops && threads > 1)
    warnings.push_back(
        fmt::format("{} threads are hardly faster than one: other programs use the cores now, or they are "
                    "shared; measure again, or set runtime.threads = 1",
                    threads));
  fmt::print("\n{}\n", warnings.empty() ? "nothing to warn about" : "warnings");
  for (const std::string& warning : warnings) fmt::print("  {}\n", warning);
  return 0;
}

}  // namespace

Command doctor_command() {
  Command command;
  command.name = "doctor";
  command.summary = "versions, measured speed, and warnings about this machine";
  command.usage = "";
  command.details =
      "Prints versions, BLAS, HDF5, processor and devices, measures matrix products on one and on all threads, "
      "and warns about what will make runs slow or different.";
  command.example = "mneme doctor";
  command.run = doctor;
  return command;
}

}  // namespace mneme
