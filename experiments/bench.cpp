// mneme bench: how fast the memories and the models are here, beside the machine's own peak.
#include "experiments/bench.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/outputs.h"
#include "core/hdf5.h"
#include "core/text.h"
#include "experiments/program.h"
#include "experiments/text_table.h"
#include "mneme/errors.h"
#include "train/runtime.h"

namespace mneme {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string json_text(const std::string& name, const Pairs& header, const BenchTable& table) {
  nlohmann::ordered_json json{{"benchmark", name}};
  for (const auto& [key, value] : header) json["machine"][key] = value;
  json["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : table.rows()) {
    nlohmann::ordered_json object;
    for (size_t i = 0; i < row.size(); ++i) std::visit([&](const auto& value) { object[table.columns()[i]] = value; }, row[i]);
    json["rows"].push_back(object);
  }
  return json.dump(1) + "\n";
}

/// One dataset per column; texts as strings, the machine as attributes.
std::string h5_image(const std::string& path, const std::string& name, const Pairs& header, const BenchTable& table) {
  h5::File file = h5::File::in_memory(path);
  file.set("benchmark", name);
  for (const auto& [key, value] : header) file.set(key, value);
  for (size_t i = 0; i < table.columns().size(); ++i) {
    std::vector<std::string> texts;
    std::vector<int64_t> integers;
    std::vector<double> reals;
    for (const auto& row : table.rows()) {
      if (const auto* text = std::get_if<std::string>(&row[i])) texts.push_back(*text);
      if (const auto* integer = std::get_if<int64_t>(&row[i])) integers.push_back(*integer);
      if (const auto* real = std::get_if<double>(&row[i])) reals.push_back(*real);
    }
    if (!texts.empty()) file.write_text(table.columns()[i], texts);
    if (!integers.empty()) file.write(table.columns()[i], integers);
    if (!reals.empty()) file.write(table.columns()[i], reals);
  }
  return file.image();
}

int bench(const CommandLine& line) {
  line.refuse_overrides();
  static const std::map<std::string, BenchResult (*)(const BenchOptions&)> benchmarks{
      {"memory", bench_memory}, {"model", bench_model}, {"stability", bench_stability}, {"gradients", bench_gradients}};
  const std::string& what = line.only_name("memory, model, stability or gradients");
  const auto benchmark = benchmarks.find(what);
  if (benchmark == benchmarks.end())
    throw UsageError(fmt::format("mneme bench knows memory, model, stability and gradients, not '{}'{}", what,
                                 did_you_mean(what, {"memory", "model", "stability", "gradients"})));
  check_outputs({{"--json", line.file_or("json", "")}, {"--h5", line.file_or("h5", "")}});
  RuntimeOptions runtime;
  runtime.threads = line.integer_or("threads", 0, 0, 1024);
  set_up_runtime(runtime);
  BenchOptions options;
  options.shapes = line.list("shapes");
  options.kernels = line.list("kernels");
  options.repeats = line.integer_or("repeats", options.repeats, 1, 1000);
  if (!line.has("quiet")) options.progress = [](const std::string& text) { fmt::print(stderr, "bench: {}\n", text); };
  const Pairs machine = machine_header();
  BenchResult result = benchmark->second(options);
  Pairs header = machine;
  header.insert(header.end(), result.notes.begin(), result.notes.end());
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : header) rows.push_back({key, value});
  fmt::print("{}\n{}", text_table(rows), result.table.text());
  if (line.has("json")) atomic_write(line.text("json"), json_text(what, header, result.table));
  if (line.has("h5")) atomic_write(line.text("h5"), h5_image(line.text("h5"), what, header, result.table));
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
  command.example = "mneme bench memory --json results/bench.json";
  command.options.add_options()("json", po::value<std::string>(), "write the rows to this file")(
      "h5", po::value<std::string>(), "write the columns to this HDF5 file")(
      "shapes", po::value<std::vector<std::string>>(), "memory: KIND:GRADIENT:HEADSxTOKENSxWIDTH[xEXPANSION], e.g. mlp:refresh:16x1024x64x2; model: lengths")(
      "kernels", po::value<std::vector<std::string>>(), "memory: reference, chunked, fused; model: kinds of block (default: all)")(
      "repeats", po::value<std::string>(), "runs per line, of which the median counts (15)")(
      "threads", po::value<std::string>(), "default: OMP_NUM_THREADS, or all cores");
  command.run = bench;
  return command;
}

}  // namespace mneme
