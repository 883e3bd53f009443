// mneme bench: how fast the memories and the models are here, beside the machine's own peak.
#include "benchmarks/bench.h"

#include <fmt/format.h>

#include <map>

#include "base/files.h"
#include "base/outputs.h"
#include "base/text.h"
#include "benchmarks/result_file.h"
#include "cli/program.h"
#include "mneme/errors.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

int bench(const CommandLine& line) {
  line.refuse_overrides();
  static const std::map<std::string, BenchResult (*)(const BenchOptions&)> benchmarks{
      {"memory", bench_memory}, {"model", bench_model}, {"stability", bench_stability}, {"gradients", bench_gradients}};
  const std::string& what = line.only_name("memory, model, stability or gradients");
  const auto benchmark = benchmarks.find(what);
  if (benchmark == benchmarks.end())
    throw UsageError(fmt::format("mneme bench knows memory, model, stability and gradients, not '{}'{}", what,
                                 did_you_mean(what, {"memory", "model", "stability", "gradients"})));
  const std::string output = line.file_or("output", "");
  const auto file_of = [&](const char* extension) { return output.empty() ? "" : output + extension; };
  check_outputs({{"--json", line.file_or("json", "")}, {"--output", file_of(".md")}, {"--output", file_of(".h5")}});
  RuntimeOptions runtime;
  runtime.threads = line.integer_or("threads", 0, 0, 1024);
  set_up_runtime(runtime);
  BenchOptions options;
  options.shapes = line.list("shapes");
  options.kernels = line.list("kernels");
  options.repeats = line.integer_or("repeats", options.repeats, 1, 1000);
  if (!line.has("quiet")) options.progress = [](const std::string& text) { fmt::print(stderr, "bench: {}\n", text); };
  BenchFile file{what, machine_header(), BenchTable({})};  // the machine as it is before the work
  BenchResult result = benchmark->second(options);
  file.header.insert(file.header.end(), result.notes.begin(), result.notes.end());
  file.table = std::move(result.table);
  fmt::print("{}", bench_text(file));
  if (line.has("json")) atomic_write(line.text("json"), bench_json(file));
  if (output.empty()) return 0;
  atomic_write(output + ".h5", bench_h5(output + ".h5", file));
  atomic_write(output + ".md", bench_markdown(file));
  return 0;
}

}  // namespace

Command bench_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "bench";
  command.summary = "speed of the memory kernels and of the models on this machine";
  command.usage = "memory|model|stability|gradients";
  command.details =
      "memory: the token loop (reference), tiles of LibTorch operations (chunked) and the fused kernel, forward and with the "
      "backward pass, in GF/s and as a share of the machine's best 64×64×64 products measured in the same process. model: training "
      "tokens/s of every kind of block against length. stability: the largest stable step of stale gradients, theory beside "
      "measurement. gradients: error of each way to take them against the exact recurrence, and its cost. Operations are counted by the formulas of docs/performance.md.";
  command.example = "mneme bench memory --output results/bench_memory";
  command.options.add_options()("json", po::value<std::string>(), "write the rows to this file")(
      "output,o", po::value<std::string>()->value_name("NAME"), "write NAME.md, the table, and NAME.h5, its numbers")(
      "shapes", po::value<std::vector<std::string>>(), "memory: KIND:GRADIENT:HEADSxTOKENSxWIDTH[xEXPANSION], e.g. mlp:refresh:16x1024x64x2, "
                                                       "mlp:sweeps1:16x1024x64x2; model: lengths")(
      "kernels", po::value<std::vector<std::string>>(), "memory: reference, chunked, fused; model: kinds of block (default: all)")(
      "repeats", po::value<std::string>(), "runs per line, of which the median counts (15)")(
      "threads", po::value<std::string>(), "default: OMP_NUM_THREADS, or all cores");
  command.run = bench;
  return command;
}

}  // namespace mneme
