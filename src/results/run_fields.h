// Every stored field of a run, described once: the name in HDF5, the member, its unit. Files of one run and files of many
// are written and read by these lists.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/text.h"
#include "io/hdf5.h"
#include "mneme/errors.h"
#include "results/run_record.h"

namespace mneme {

/// visit(name, pointer to member, unit) for every column of a training row.
template <class Visit>
void each_train_field(Visit visit) {
  visit("step", &TrainRow::step, "1");
  visit("tokens", &TrainRow::tokens, "1");
  visit("loss", &TrainRow::loss, "");  // of its metric: training_unit
  visit("lr", &TrainRow::lr, "1");
  visit("grad_norm", &TrainRow::grad_norm, "1 (before clipping)");
  visit("tokens_per_s", &TrainRow::tokens_per_s, "1/s");
  visit("rss_mib", &TrainRow::rss_mib, "MiB");
}

/// Of the column `loss`: "nats per scored position".
inline std::string training_unit(const Metric& metric) {
  const std::string unit = metric.shown_unit();
  return (unit.empty() ? "1" : unit) + " per scored position";
}

template <class Visit>
void each_cost_field(Visit visit) {
  visit("parameters", &RunCost::parameters, "1");
  visit("state_bytes", &RunCost::state_bytes, "B per sequence at the training length");
  visit("training_tokens", &RunCost::training_tokens, "1");
  visit("tokens_per_s", &RunCost::tokens_per_s, "1/s");
  visit("peak_mib", &RunCost::peak_mib, "MiB");
  visit("wall_seconds", &RunCost::wall_seconds, "s");
}

/// visit(name, text or integer) for every fact about a run but its config's keys; `run` is const when it is written.
template <class Run, class Visit>
void each_run_field(Run& run, Visit visit) {
  visit("run_id", run.info.run_id);
  visit("status", run.status);
  visit("error", run.error);
  visit("config_ini", run.info.config_ini);
  visit("config_hash", run.info.config_hash);
  visit("code_version", run.info.code_version);
  visit("code_dirty", run.info.code_dirty);
  visit("command_line", run.info.command_line);
  visit("created_utc", run.created_utc);
  visit("finished_utc", run.finished_utc);
  visit("seed", run.info.seed);
  visit("libtorch_version", run.info.libtorch_version);
  visit("blas", run.info.blas);
  visit("threads", run.info.threads);
  visit("device", run.info.device);
  visit("cpu_model", run.info.cpu_model);
  visit("engine", run.info.engine);
  visit("training_loss", run.info.training_loss);
}

/// A fact that files of earlier versions lack; then it stays what a RunInfo begins with.
inline bool recorded_later(const std::string& run_field) { return run_field == "engine" || run_field == "training_loss"; }

/// Every member of EvalSums that is stored as a count, by dataset name.
struct CountField {
  const char* name;
  int64_t EvalSums::* member;
  const char* description;
  bool later = false;  ///< files of earlier versions lack it: 0
};
constexpr CountField kCountFields[] = {
    {"rows", &EvalSums::rows, "sequences"},
    {"scored", &EvalSums::scored, "scored positions"},
    {"correct", &EvalSums::correct, "scored positions whose arg max is right"},
    {"exact", &EvalSums::exact, "sequences with all scored positions right"},
    {"not_finite", &EvalSums::not_finite, "sequences (in by_position: positions) where what the model says is not finite", true},
};

/// The metric of that name. StoreError where this program has none.
inline Metric metric_named(const std::string& name, const std::string& where) {
  if (const std::optional<Metric> metric = Metric::named(name)) return *metric;
  throw StoreError(where + ": is judged by the metric '" + name + "', which this program does not have (it has " +
                   join(Metric::names(), ", ") + "); read it with the version of Mneme that wrote it");
}

/// Files hold counts and the means of them: where these disagree, one of them was damaged.
inline void require_agreement(const EvalSums& sums, const Metric& metric, double mean, const std::string& where) {
  constexpr double kRounding = 1e-9;
  const double own = metric.value(sums);
  const bool apart = std::isfinite(own) && std::isfinite(mean) && std::abs(own - mean) > kRounding * std::max(1.0, std::abs(mean));
  if (apart || sums.rows < 0 || sums.scored < sums.correct || sums.correct < 0 || sums.exact < 0 || sums.exact > sums.rows)
    throw StoreError(where + ": " + metric.name() + " is not what its counts say; the file is damaged");
}

/// What is measured once per setting.
struct MeasureField {
  const char* name;
  double EvalSetting::* member;
  const char* unit;
  const char* description;
};
constexpr MeasureField kMeasureFields[] = {
    {"seconds", &EvalSetting::seconds, "s", "wall time of the setting"},
    {"tokens_per_s", &EvalSetting::tokens_per_s, "1/s", "tokens read per second"},
    {"rss_mib", &EvalSetting::rss_mib, "MiB", "resident memory after the setting"},
    {"state_bytes", &EvalSetting::state_bytes, "B", "state of one sequence after its last token, fp32"},
};

/// A member of every row as a column.
template <class Row, class T>
h5::Column column_of(const char* name, const std::vector<Row>& rows, T Row::* member) {
  std::vector<T> values;
  for (const Row& row : rows) values.push_back(row.*member);
  return {name, std::move(values)};
}

/// The column of that name. StoreError where there is none of that type.
template <class T>
const std::vector<T>& values_of(const std::vector<h5::Column>& columns, const std::string& name, const std::string& where) {
  for (const h5::Column& column : columns)
    if (column.name == name)
      if (const auto* values = std::get_if<std::vector<T>>(&column.values)) return *values;
  throw StoreError(where + ": the table has no column '" + name + "' of the expected type");
}

/// Sets a member of every row from its column; as many rows as the column has.
template <class Row, class T>
void fill(std::vector<Row>& rows, T Row::* member, const std::vector<h5::Column>& columns, const char* name,
          const std::string& where) {
  const std::vector<T>& values = values_of<T>(columns, name, where);
  rows.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) rows[i].*member = values[i];
}

}  // namespace mneme
