// What one run left behind, read back from run.h5; and files of many runs (the NAME.h5 beside a table).
#pragma once

#include <string>
#include <vector>

#include "results/run_store.h"

namespace mneme {

constexpr int64_t kRunSchema = 1;   // run.h5
constexpr int64_t kRunsSchema = 2;  // a file of many runs

/// A named quantity over training, one value per evaluation.
struct ProbeSeries {
  std::string name, unit, help;
  std::vector<int64_t> steps;
  std::vector<double> values;
};

struct RunRecord {
  RunInfo info;
  std::string status;                     // running, done, failed, diverged
  std::string error;                      // why it failed
  std::string created_utc, finished_utc;  // finished_utc is empty while it runs
  std::vector<TrainRow> train;
  std::vector<Evaluation> evaluations;
  std::vector<ProbeSeries> probes;
  RunCost cost;

  /// Value of a config key, or ""; `label` looks in run.labels ("arm:mag_linear, task:needle").
  std::string value(const std::string& key) const;
  std::string label(const std::string& name) const;
  /// The last evaluation of a task on a split; nullptr where there is none.
  const Evaluation* last_evaluation(const std::string& task, const std::string& split) const;
};

/// run.h5, or the folder it is in. StoreError: missing, damaged, not a run, or of another schema.
RunRecord read_run(const std::string& path);

/// Every run of run files, run folders, folders of run folders and files of `write_runs`. A run named twice counts once.
/// StoreError where a path holds no run. Run folders without a run.h5 (nothing evaluated yet) are passed over.
std::vector<RunRecord> read_runs(const std::vector<std::string>& paths);

/// Many runs in one file, as long tables (docs/file-formats.md, section "NAME.h5 beside a table"). Written whole, then renamed.
void write_runs(const std::string& path, const std::vector<RunRecord>& runs);

/// The bytes of a run.h5.
std::string run_file_bytes(const RunRecord& run);

/// Arithmetic of EvalSums; NaN where nothing was counted.
double accuracy(const EvalSums& sums);
double exact_match(const EvalSums& sums);
double mean_loss(const EvalSums& sums);
/// The metric's value by its name: "accuracy", "exact_match" or "loss".
double metric_value(const EvalSums& sums, const std::string& metric);

}  // namespace mneme
