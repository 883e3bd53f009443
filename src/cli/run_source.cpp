#include "cli/run_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "config/sweep.h"
#include "base/provenance.h"
#include "base/text.h"
#include "config/config.h"
#include "cli/sweep_plan.h"
#include "mneme/errors.h"
#include "results/run_file.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultRuns = "results/runs";

RunRecord missing_run(const SweepRun& run, const std::string& version, const char* status) {
  RunRecord record;
  record.info.run_id = run.id;
  record.info.config_ini = canonical_ini(run.config);
  record.info.config_hash = config_hash(run.config);
  record.info.code_version = version;
  record.info.seed = run.config.run.seed;
  record.info.values = flat_values(run.config);
  record.status = status;
  return record;
}

/// The sweep's runs that are there are appended to `named`, the others to `missing` with why they are.
void add_sweep(const std::string& path, const CommandLine& line, NamedRuns& named, std::vector<std::pair<SweepRun, const char*>>& missing) {
  const SweepPlan plan = plan_sweep(read_sweep(path, line.overrides()));
  for (size_t i = plan.tuning; i < plan.runs.size(); ++i) {
    const std::string folder = run_folder(plan.runs[i].config);
    if (!plan.waiting[i].empty() || !fs::exists(folder + "/run.h5")) {
      missing.emplace_back(plan.runs[i], "missing");
      continue;
    }
    try {
      named.runs.push_back(read_run(folder));
    } catch (const StoreError& error) {
      named.damaged.push_back(error.what());
      missing.emplace_back(plan.runs[i], "damaged");
    }
  }
}

}  // namespace

int NamedRuns::status() const {
  for (const std::string& why : damaged) fmt::print(stderr, "mneme: left out: {}\n", printable(why));
  return damaged.empty() ? 0 : 1;
}

NamedRuns named_runs(const CommandLine& line) {
  std::vector<std::string> paths;
  NamedRuns named;
  std::vector<RunRecord>& records = named.runs;
  std::vector<std::pair<SweepRun, const char*>> missing;
  for (const std::string& name : line.names()) {
    if (fs::path(name).extension() == ".ini" && fs::is_regular_file(name))
      add_sweep(name, line, named, missing);
    else
      paths.push_back(name);
  }
  if (line.names().empty()) {
    if (!fs::is_directory(kDefaultRuns))
      throw StoreError(std::string("there is no ") + kDefaultRuns +
                       "; name run folders, a table's .h5 or a sweep file");
    paths.push_back(kDefaultRuns);
  }
  if (!line.overrides().empty() && paths.size() == std::max<size_t>(1, line.names().size()))
    throw UsageError("key=value belongs to a sweep file, but none is named; runs are chosen by --where key=value");
  for (RunRecord& run : read_runs(paths, &named.damaged)) {
    const bool known = std::any_of(records.begin(), records.end(),
                                   [&](const RunRecord& record) { return record.info.run_id == run.info.run_id; });
    if (!known) records.push_back(std::move(run));
  }
  if (records.empty() && !named.damaged.empty()) throw StoreError(join(named.damaged, "\n"));
  if (records.empty()) throw StoreError("none of the runs is there yet: " + join(line.names(), ", "));
  const std::string version = records.front().info.code_version;
  for (const auto& [run, why] : missing) records.push_back(missing_run(run, version, why));
  return named;
}

std::vector<NamedPath> named_files(const CommandLine& line) {
  std::vector<NamedPath> files;
  for (const std::string& name : line.names())
    if (!fs::is_directory(name)) files.push_back({"this command", name});
  return files;
}

}  // namespace mneme
