// mneme report: one self-contained page about a set of runs.
#include "report/report.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/outputs.h"
#include "cli/program.h"
#include "cli/run_source.h"

namespace mneme {
namespace {

struct OutputFile {
  NamedPath place;
  std::string bytes;
};

std::vector<OutputFile> figures(const std::string& folder, const std::vector<RunRecord>& runs, const std::string& rows) {
  std::set<std::string> tasks;
  for (const RunRecord& run : runs) tasks.insert(run.value("task.kind"));
  std::vector<OutputFile> files;
  for (const std::string& task : tasks)
    for (const auto& [name, svg] : task_figures(runs, task, rows))
      files.push_back({{"--figures", (std::filesystem::path(folder) / (name + ".svg")).string()}, svg});
  return files;
}

int report(const CommandLine& line) {
  ReportOptions options;
  options.title = line.text_or("title", options.title);
  options.rows = line.text_or("rows", options.rows);
  options.against = line.text_or("against", "");
  options.introduction = line.text_or("introduction", "");
  options.allow_mixed_versions = line.has("allow-mixed-versions");
  const std::string output = line.file_or("output", "results/report.html");
  const NamedRuns named = named_runs(line);
  const std::vector<RunRecord>& runs = named.runs;
  options.left_out = named.damaged;
  std::vector<OutputFile> files{{{"--output", output}, report_html(runs, options)}};
  if (line.has("figures"))
    for (OutputFile& figure : figures(line.file("figures"), runs, options.rows)) files.push_back(std::move(figure));
  std::vector<NamedPath> places;
  for (const OutputFile& file : files) places.push_back(file.place);
  check_outputs(places, named_files(line));
  for (const OutputFile& file : files) {
    atomic_write(file.place.path, file.bytes);
    fmt::print("{}\n", file.place.path);
  }
  return named.status();
}

}  // namespace

Command report_command() {
  namespace po = boost::program_options;
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  Command command;
  command.name = "report";
  command.summary = "one self-contained HTML page: tables, curves, costs, provenance";
  command.usage = "[RUN_FOLDER|FILE.h5|SWEEP.ini ...] [key=value ...]";
  command.details =
      "Prints the path of the page it writes. Without names: everything in results/runs. key=value belongs to "
      "sweep files.";
  command.example = "mneme report experiments/quickstart/short.ini --output results/quickstart/index.html";
  command.options.add_options()("output,o", text("FILE"), "the page (results/report.html)")(
      "title", text("TEXT"), "heading (Mneme)")("introduction", text("TEXT"), "a paragraph below the heading")(
      "rows", text("KEY"), "what is compared: a label or config key (arm)")(
      "against", text("ROW"), "also differences to this row, as mneme table shows them")(
      "figures", text("FOLDER"), "also every figure as an SVG file")("allow-mixed-versions",
                                                                     "runs of different code versions on one page");
  command.run = report;
  return command;
}

}  // namespace mneme
