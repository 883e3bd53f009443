// What one run leaves behind: its rows, evaluations, measurements, costs and where they came from.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mneme/metric.h"
#include "mneme/options.h"

namespace mneme {

struct TrainRow {
  int64_t step = 0;         // optimizer steps done
  int64_t tokens = 0;       // training tokens seen
  double loss = 0;          // mean over scored positions since the last row; what of is RunInfo::training_loss
  double lr = 0;
  double grad_norm = 0;     // before clipping
  double tokens_per_s = 0;
  double rss_mib = 0;
};

struct EvalSetting {
  Setting setting;                                   // point of the task's table
  int64_t length = 0;                                // tokens in a row
  EvalSums sums;                                     // over the rows of the setting
  std::map<std::vector<int64_t>, EvalSums> slices;   // by value of the task's row axes; empty without row axes
  std::vector<EvalSums> positions;                   // by position bin; empty unless the task asks for it
  std::map<std::string, EvalSums> references;        // by the name of Task::references, on the same rows; tests only
  double seconds = 0;
  double tokens_per_s = 0;
  double rss_mib = 0;                                // resident memory after this setting
  double state_bytes = 0;                            // per sequence, after the row's last token
  std::string where_not_finite;                      // where sums hold what is not: row, layer, head, token; not stored
};

struct Evaluation {
  std::string task;                                  // task kind
  std::string split;                                 // "test" or "validation"
  Metric metric = Metric::accuracy;                  // the task's own
  double chance = 0;
  int64_t step = 0;
  std::vector<std::string> axes, row_axes;
  std::map<std::string, std::vector<std::string>> row_names;  // by row axis: names of the values 0, 1, … on it; none = numbers
  std::vector<int64_t> position_edges;               // n+1 edges of n bins, tokens
  std::vector<EvalSetting> settings;

  /// Mean of a metric over the settings; of the task's own; that one as text, "exact_match 98.4 %".
  double mean(const Metric& of) const;
  double value() const { return mean(metric); }
  std::string text() const;
  /// "on the test split, answers are not finite at 256x8 (2 of 4 rows; …), …": which settings have no value for it; "" where all are finite.
  std::string not_finite() const;
};

struct RunCost {
  int64_t parameters = 0;
  int64_t state_bytes = 0;        // per sequence at the training length
  int64_t training_tokens = 0;
  double tokens_per_s = 0;        // training, median over log rows
  double peak_mib = 0;            // highest resident memory of the process
  double wall_seconds = 0;        // training, over all resumptions
};

/// Where the numbers came from: root attributes of run.h5.
struct RunInfo {
  std::string run_id, config_ini, config_hash, code_version, command_line, libtorch_version, blas, device, cpu_model;
  std::string training_loss = "loss";  // the metric that TrainRow::loss is: Metric::training_loss of the task's
  std::string engine;             // instruction set of the CPU kernels (kernels/dispatch.h); empty in files of before it was recorded
  bool code_dirty = false;
  int64_t seed = 0;
  int64_t threads = 0;
  std::vector<std::pair<std::string, std::string>> values;  // flat config, stored as attributes of /config
};

/// A named quantity over training, one value per evaluation.
struct ProbeSeries {
  std::string name, unit, help;
  std::vector<int64_t> steps;
  std::vector<double> values;
};

struct RunRecord {
  RunInfo info;
  std::string status;                     // running, done, failed, diverged
  std::string error;                      // why it failed, or which results of a run that is done are not finite
  std::string created_utc, finished_utc;  // finished_utc is empty while it runs
  std::vector<TrainRow> train;
  std::vector<Evaluation> evaluations;
  std::vector<ProbeSeries> probes;
  RunCost cost;

  /// RunInfo::training_loss; StoreError where this program does not have it.
  Metric training_metric() const;
  /// Value of a config key, or ""; `label` looks in run.labels ("arm:mag_linear, task:needle").
  std::string value(const std::string& key) const;
  std::string label(const std::string& name) const;
  /// The last evaluation of a task on a split; nullptr where there is none.
  const Evaluation* last_evaluation(const std::string& task, const std::string& split) const;
};

}  // namespace mneme
