#include "report/table_select.h"

#include <algorithm>

#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

/// Beside run.*: what no result depends on, and weights to start from, which may be of the same seed each.
const std::vector<std::string> kMayDiffer{"runtime.threads",  "train.log_every", "train.checkpoint_every", "train.keep",
                                          "train.init_from", "train.init_sha256"};

bool one_of(const std::string& value, const std::string& alternatives) {
  const std::vector<std::string> values = split_values(alternatives, '|');
  return std::any_of(values.begin(), values.end(), [&](const std::string& each) { return each == value || unquoted(each) == unquoted(value); });
}

void check_names(const std::vector<RunRecord>& runs, const TableOptions& options) {
  if (options.rows.empty()) throw UsageError("--rows names no key: name at least one, e.g. --rows arm or --rows model.kind");
  const std::vector<std::string> known = known_keys(runs);
  std::vector<std::string> asked = options.rows;
  asked.insert(asked.end(), options.columns.begin(), options.columns.end());
  for (const auto& [key, value] : options.where) asked.push_back(key);
  for (const std::string& key : asked)
    if (!std::count(known.begin(), known.end(), key))
      throw UsageError("no run has a config key, label or axis '" + key + "'" + did_you_mean(key, known) +
                       " (keys as in `mneme options`, e.g. model.kind; labels are those that sweeps give)");
  std::vector<std::string> metrics = Metric::names();
  metrics.insert(metrics.begin(), "metric");
  for (const std::string& metric : options.metrics)
    if (!std::count(metrics.begin(), metrics.end(), metric))
      throw UsageError("there is no metric '" + metric + "'; there are: " + join(metrics, ", ") + did_you_mean(metric, metrics));
}

void check_versions(const std::vector<const RunRecord*>& runs, const TableOptions& options, std::vector<std::string>& notes) {
  std::map<std::string, std::vector<std::string>> by_version;
  int64_t dirty = 0;
  for (const RunRecord* run : runs) {
    by_version[run->info.code_version].push_back(run->info.run_id);
    dirty += run->info.code_dirty;
  }
  if (dirty > 0) notes.push_back(std::to_string(dirty) + " of " + std::to_string(runs.size()) + " runs: code with uncommitted changes");
  if (by_version.size() < 2) return;
  std::string text;
  for (const auto& [version, ids] : by_version) text += "\n  " + version + ": " + join(ids, ", ");
  if (!options.allow_mixed_versions)
    throw StoreError("the runs come from " + std::to_string(by_version.size()) + " code versions:" + text +
                     "\nrun the older ones again, leave them out by --where code_version=…, or pass --allow-mixed-versions");
  notes.push_back("runs of " + std::to_string(by_version.size()) + " code versions:" + text);
}

}  // namespace

std::string machine_text(const std::vector<const RunRecord*>& runs, std::vector<std::string>& notes) {
  std::map<std::string, int64_t> machines, engines;
  for (const RunRecord* run : runs) {
    const RunInfo& info = run->info;
    if (run->status == "missing" || run->status == "damaged") continue;  // it ran nowhere yet
    const std::string engine = info.engine.empty() ? "instruction set not recorded" : info.engine;
    const std::string threads = std::to_string(info.threads) + (info.threads == 1 ? " thread" : " threads");
    ++machines[(info.device == "cpu" ? info.cpu_model : info.device + " beside " + info.cpu_model) + ", " + engine + ", " + threads];
    ++engines[engine];
  }
  const auto listed = [](const std::map<std::string, int64_t>& counted, const std::string& between) {
    std::vector<std::string> parts;
    for (const auto& [text, count] : counted) parts.push_back(text + (counted.size() > 1 ? " (" + std::to_string(count) + (count == 1 ? " run)" : " runs)") : ""));
    return join(parts, between);
  };
  if (engines.size() > 1)
    notes.push_back("runs of several instruction sets are pooled: " + listed(engines, ", ") + "; the instruction set alone can move a cell by points");
  return listed(machines, "; ");
}

bool is_axis(const std::vector<RunRecord>& runs, const std::string& key) {
  if (key == "setting" || key == "split" || key == "tokens_per_row" || is_row_axis(runs, key)) return true;
  return std::any_of(runs.begin(), runs.end(), [&](const RunRecord& run) {
    return std::any_of(run.evaluations.begin(), run.evaluations.end(),
                       [&](const Evaluation& evaluation) { return std::count(evaluation.axes.begin(), evaluation.axes.end(), key) > 0; });
  });
}

bool matches(const Observation& observation, const std::vector<std::pair<std::string, std::string>>& where) {
  return std::all_of(where.begin(), where.end(),
                     [&](const auto& condition) { return one_of(key_of(observation, condition.first), condition.second); });
}

std::vector<const RunRecord*> select_runs(const std::vector<RunRecord>& runs, const TableOptions& options,
                                          std::vector<std::string>& notes) {
  check_names(runs, options);
  const bool trials = std::any_of(options.where.begin(), options.where.end(), [](const auto& c) { return c.first == "tuning"; });
  std::vector<std::pair<std::string, std::string>> of_runs;
  std::copy_if(options.where.begin(), options.where.end(), std::back_inserter(of_runs),
               [&](const auto& condition) { return !is_axis(runs, condition.first); });
  std::vector<const RunRecord*> selected;
  for (const RunRecord& run : runs)
    if ((trials || run.label("tuning").empty()) && std::all_of(of_runs.begin(), of_runs.end(), [&](const auto& condition) {
          return one_of(run_key(run, condition.first), condition.second);
        }))
      selected.push_back(&run);
  if (selected.empty()) {
    std::vector<std::string> conditions;
    for (const auto& [key, value] : options.where) conditions.push_back(key + "=" + value);
    throw UsageError("none of the " + std::to_string(runs.size()) + " runs is left" +
                     (conditions.empty() ? "" : " by --where " + join(conditions, ", ")));
  }
  check_versions(selected, options, notes);
  return selected;
}

void refuse_pooling(const std::vector<std::string>& row, const RunRecord& one, const RunRecord& other, const TableOptions& options) {
  const bool same_seed = one.info.seed == other.info.seed;
  std::vector<std::string> differences;
  for (const auto& [key, value] : one.info.values) {
    const bool filing = key == "run.labels" || key == "run.name";
    const bool repetition = key.starts_with("run.") || std::count(kMayDiffer.begin(), kMayDiffer.end(), key) > 0;
    const bool known = std::any_of(other.info.values.begin(), other.info.values.end(), [&](const auto& entry) { return entry.first == key; });
    if (known && other.value(key) != value && !(same_seed ? filing : repetition))  // code of another version may not know the key
      differences.push_back(key + " (" + value + ", " + other.value(key) + ")");
  }
  if (!same_seed && differences.empty()) return;
  throw UsageError((same_seed ? "two runs of seed " + std::to_string(one.info.seed) + " fall into" : "different experiments fall into") + " the row " +
                   join(options.rows, ", ") + " = " + join(row, ", ") + ": " + one.info.run_id + " and " + other.info.run_id +
                   (differences.empty() ? "; leave one of them out" : "; they differ in " + join(differences, ", ") +
                                                                          ": add one of these keys to --rows or --columns, or choose by --where"));
}

}  // namespace mneme
