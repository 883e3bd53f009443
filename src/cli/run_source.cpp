#include "cli/run_source.h"

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

RunRecord missing_run(const SweepRun& run, const std::string& version) {
  RunRecord record;
  record.info.run_id = run.id;
  record.info.config_ini = canonical_ini(run.config);
  record.info.config_hash = config_hash(run.config);
  record.info.code_version = version;
  record.info.seed = run.config.run.seed;
  record.info.values = flat_values(run.config);
  record.status = "missing";
  return record;
}

/// The sweep's runs that are there are appended to `records`, the others to `missing`.
void add_sweep(const std::string& path, const CommandLine& line, std::vector<RunRecord>& records,
               std::vector<SweepRun>& missing) {
  const SweepPlan plan = plan_sweep(read_sweep(path, line.overrides()));
  for (size_t i = plan.tuning; i < plan.runs.size(); ++i) {
    const std::string folder = run_folder(plan.runs[i].config);
    if (plan.waiting[i].empty() && fs::exists(folder + "/run.h5"))
      records.push_back(read_run(folder));
    else
      missing.push_back(plan.runs[i]);
  }
}

}  // namespace

std::vector<RunRecord> named_runs(const CommandLine& line) {
  std::vector<std::string> paths;
  std::vector<RunRecord> records;
  std::vector<SweepRun> missing;
  for (const std::string& name : line.names()) {
    if (fs::path(name).extension() == ".ini" && fs::is_regular_file(name))
      add_sweep(name, line, records, missing);
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
  for (RunRecord& run : read_runs(paths)) {
    const bool known = std::any_of(records.begin(), records.end(),
                                   [&](const RunRecord& record) { return record.info.run_id == run.info.run_id; });
    if (!known) records.push_back(std::move(run));
  }
  if (records.empty()) throw StoreError("none of the runs is there yet: " + join(line.names(), ", "));
  const std::string version = records.front().info.code_version;
  for (const SweepRun& run : missing) records.push_back(missing_run(run, version));
  return records;
}

std::vector<NamedPath> named_files(const CommandLine& line) {
  std::vector<NamedPath> files;
  for (const std::string& name : line.names())
    if (!fs::is_directory(name)) files.push_back({"this command", name});
  return files;
}

}  // namespace mneme
