#include "report/table_costs.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "config/fields.h"
#include "mneme/errors.h"
#include "report/statistics.h"

namespace mneme {

namespace {

struct Cost {
  const char* name;
  const char* unit;
  double (*value)(const RunRecord&);
  bool of_tuning = false;  // only where a sweep chose something
};

constexpr double kKiB = 1024;

/// Of a label or key that holds a number; 0 where there is none.
double number_or_0(const std::string& text) { return read_number(text).value_or(0); }

const Cost kCosts[] = {
    {"parameters", "", [](const RunRecord& run) { return static_cast<double>(run.cost.parameters); }},
    {"state", "KiB", [](const RunRecord& run) { return static_cast<double>(run.cost.state_bytes) / kKiB; }},
    {"training tokens", "", [](const RunRecord& run) { return static_cast<double>(run.cost.training_tokens); }},
    {"tokens/s", "", [](const RunRecord& run) { return run.cost.tokens_per_s; }},
    {"peak", "MiB", [](const RunRecord& run) { return run.cost.peak_mib; }},
    {"wall", "s", [](const RunRecord& run) { return run.cost.wall_seconds; }},
    {"trials", "", [](const RunRecord& run) { return number_or_0(run.label("trials")); }, true},
    {kRateColumn, "", [](const RunRecord& run) { return number_or_0(run.value("train.lr")); }, true},
};

const std::string kStepsToTarget = "steps to target";

/// "text/licences/layer0/memory/theta_mean" → "theta_mean".
std::string end_of(const std::string& name) { return name.substr(name.rfind('/') + 1); }

/// → "theta_mean text/licences": without the layers, which are averaged.
std::string probe_column(const std::string& name) {
  const size_t last = name.rfind("/layer"), layer = last == std::string::npos && name.starts_with("layer") ? 0 : last;
  return end_of(name) + (layer == 0 || layer == std::string::npos ? "" : " " + name.substr(0, layer));
}

/// The last value, mean over layers; NaN where it was not measured.
double probe_value(const RunRecord& run, const std::string& column) {
  std::vector<double> values;
  for (const ProbeSeries& series : run.probes)
    if (probe_column(series.name) == column && !series.values.empty()) values.push_back(series.values.back());
  return values.empty() ? std::nan("") : mean(values);
}

}  // namespace

int64_t steps_to_target(const RunRecord& run, double target) {
  for (const Evaluation& evaluation : run.evaluations) {
    if (evaluation.split != "validation" || evaluation.settings.empty()) continue;
    if (evaluation.metric.reaches(evaluation.value(), target)) return evaluation.step;
  }
  return -1;
}

std::vector<TableColumn> cost_columns(const TableOptions& options, const std::vector<const RunRecord*>& runs) {
  const bool tuned = std::any_of(runs.begin(), runs.end(), [](const RunRecord* run) { return !run->label("trials").empty(); });
  std::vector<TableColumn> columns;
  for (const std::string& probe : options.probes) {
    std::vector<std::string> names;
    std::set<std::string> known;
    for (const RunRecord* run : runs)
      for (const ProbeSeries& series : run->probes) {
        known.insert(end_of(series.name));
        const std::string name = probe_column(series.name);
        if (end_of(series.name) == probe && std::count(names.begin(), names.end(), name) == 0) names.push_back(name);
      }
    if (names.empty())
      throw UsageError("no run has a measured quantity '" + probe + "'" + did_you_mean(probe, {known.begin(), known.end()}) +
                       (known.empty() ? "" : "; there are: " + join({known.begin(), known.end()}, ", ")));
    for (const std::string& name : names) columns.push_back({{}, name, ""});
  }
  if (options.target > 0) columns.push_back({{}, kStepsToTarget, ""});
  if (!options.costs) return columns;
  for (const Cost& cost : kCosts)
    if (tuned || !cost.of_tuning) columns.push_back({{}, cost.name, cost.unit});
  return columns;
}

std::vector<TableCell> cost_cells(const std::vector<TableColumn>& columns, const TableOptions& options,
                                  const std::vector<const RunRecord*>& runs) {
  std::vector<TableCell> cells;
  for (const TableColumn& column : columns) {
    TableCell& cell = cells.emplace_back();
    const bool target = column.name == kStepsToTarget;
    const auto cost = std::find_if(std::begin(kCosts), std::end(kCosts), [&](const Cost& each) { return each.name == column.name; });
    for (const RunRecord* run : runs) {
      if (!target && run->status != "done") continue;
      const double value = target                    ? static_cast<double>(steps_to_target(*run, options.target))
                           : cost != std::end(kCosts) ? cost->value(*run)
                                                      : probe_value(*run, column.name);
      if (target && value < 0) ++cell.absent["never"];
      if (!target && std::isnan(value)) ++cell.absent["missing"];
      if (std::isnan(value) || (target && value < 0)) continue;
      cell.values.push_back(value);
      cell.seeds.push_back(run->info.seed);
      cell.at_edge |= column.name == kRateColumn && !run->label("lr_edge").empty();
    }
  }
  return cells;
}

}  // namespace mneme
