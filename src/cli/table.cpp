// mneme table: a comparison table out of run files.
#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/outputs.h"
#include "base/text.h"
#include "cli/program.h"
#include "cli/run_source.h"
#include "config/fields.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace po = boost::program_options;

std::vector<std::pair<std::string, std::string>> conditions(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, std::string>> result;
  for (const std::string& part : texts) {
    const std::string text = unquoted(part);  // "key=a, b": a comma of the value
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--where {}: write key=value, e.g. --where task.kind=needle", text));
    result.push_back({trim(text.substr(0, equals)), trim(text.substr(equals + 1))});
  }
  return result;
}

double positive(const CommandLine& line, const std::string& name) {
  const std::optional<double> value = read_number(line.text_or(name, "0"));
  if (value && *value >= 0) return *value;
  throw UsageError(fmt::format("--{} = {}: not a number ≥ 0", name, line.text(name)));
}

TableOptions table_options(const CommandLine& line) {
  TableOptions options;
  if (line.has("rows")) options.rows = line.list("rows");
  if (line.has("columns")) options.columns = line.list("columns");
  if (line.has("metric")) options.metrics = line.list("metric");
  options.where = conditions(line.list("where"));
  options.split = line.text_or("split", options.split);
  if (options.split != "test" && options.split != "validation")
    throw UsageError(fmt::format("--split {}: what was measured is of test or of validation", options.split));
  options.costs = !line.has("no-costs");
  options.probes = line.list("probe");
  options.target = positive(line, "target");
  options.against = line.text_or("against", "");
  options.allow_mixed_versions = line.has("allow-mixed-versions");
  options.title = line.text_or("title", "");
  return options;
}

/// NAME, which may be given with the extension of the format.
std::string output_name(const std::string& output, const std::string& format) {
  std::filesystem::path path(output);
  if (path.extension() == "." + format) path.replace_extension();
  return path.string();
}

/// The numbers before the text: a full disk leaves no table without them.
void write_files(const std::string& name, const std::string& format, const std::string& text,
                 const std::vector<RunRecord>& runs, const Table& made) {
  write_table_h5(name + ".h5", runs, made);
  atomic_write(name + "." + format, text);
  fmt::print("\nwritten: {0}.{1} and the runs it is made from, {0}.h5\n", name, format);
}

int table(const CommandLine& line) {
  const TableOptions options = table_options(line);
  const std::string format = line.text_or("format", "md");
  const std::vector<std::string> formats{"md", "tex", "csv"};
  if (!std::count(formats.begin(), formats.end(), format))
    throw UsageError(fmt::format("--format {}: there are md, tex and csv{}", format, did_you_mean(format, formats)));
  const std::string output = output_name(line.file_or("output", ""), format);
  if (!output.empty())
    check_outputs({{"--output", output + "." + format}, {"--output", output + ".h5"}}, named_files(line));
  const NamedRuns named = named_runs(line);
  const std::vector<RunRecord>& runs = named.runs;
  Table made = make_table(runs, options);
  for (const std::string& why : named.damaged) made.notes.push_back("left out: " + why);
  const std::string text = table_text(made, format);
  fmt::print("{}", text);
  if (!output.empty()) write_files(output, format, text, runs, made);
  return named.status();
}

}  // namespace

Command table_command() {
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  const auto list = [](const char* name) {
    return po::value<std::vector<std::string>>()->value_name(name)->composing();
  };
  const std::string metrics = join(Metric::names(), ", ") + " or metric: the one the task is judged by (metric)";
  Command command;
  command.name = "table";
  command.summary = "a comparison table out of run files, with intervals and tests";
  command.usage = "[RUN_FOLDER|FILE.h5|SWEEP.ini ...] [key=value ...]";
  command.details =
      "Pivots any config keys, labels of a sweep (arm, task) and axes of an evaluation (length, keys, writes, "
      "depth_percent, setting) against a metric. Runs that failed, diverged, still run or are missing are "
      "counted in their cell. A cell is the mean over seeds and its 95 % interval; bold is what chance does not "
      "explain (results/README.md, Statistics). Without names: everything in results/runs. key=value belongs to sweep files.";
  command.example =
      "mneme table experiments/quickstart/short.ini --rows arm --columns length "
      "--where task.kind=needle --output results/quickstart/needle";
  command.options.add_options()("rows", list("KEY,..."), "what is compared (arm)")("columns", list("KEY,..."),
                                                                                   "columns (setting)")(
      "metric", list("NAME,..."), metrics.c_str())(
      "where", list("KEY=VALUE"), "only these runs; a|b are alternatives; may be repeated")(
      "split", text("NAME"), "test or validation (test)")("format", text("NAME"), "md, tex or csv (md)")(
      "output,o", text("NAME"), "write NAME.<format> and NAME.h5")("title", text("TEXT"), "heading")(
      "against", text("ROW"), "also differences to this row, seed by seed: its value (full_rope) or key=value,...")(
      "probe", list("NAME,..."), "also what was measured inside the models: the last value of a quantity of /probe, theta_mean say, mean over layers")(
      "target", text("X"), "also the steps until the validation metric reached X")("no-costs", "without cost columns")(
      "allow-mixed-versions", "runs of different code versions in one table, with a note");
  command.run = table;
  return command;
}

}  // namespace mneme
