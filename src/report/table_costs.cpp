#include "report/table_costs.h"

#include <algorithm>
#include <string_view>

#include "config/fields.h"

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
  if (options.target > 0) columns.push_back({{}, "steps to target", ""});
  if (!options.costs) return columns;
  for (const Cost& cost : kCosts)
    if (tuned || !cost.of_tuning) columns.push_back({{}, cost.name, cost.unit});
  return columns;
}

std::vector<TableCell> cost_cells(const TableOptions& options, const std::vector<TableColumn>& columns, const std::vector<const RunRecord*>& runs) {
  std::vector<TableCell> cells;
  if (options.target > 0) {
    TableCell cell;
    for (const RunRecord* run : runs) {
      const int64_t step = steps_to_target(*run, options.target);
      if (step < 0) {
        ++cell.absent["never"];
        continue;
      }
      cell.values.push_back(static_cast<double>(step));
      cell.seeds.push_back(run->info.seed);
    }
    cells.push_back(std::move(cell));
  }
  if (!options.costs) return cells;
  for (const Cost& cost : kCosts) {
    if (std::none_of(columns.begin(), columns.end(), [&](const TableColumn& column) { return column.name == cost.name; })) continue;
    TableCell cell;
    for (const RunRecord* run : runs) {
      if (run->status != "done") continue;
      cell.values.push_back(cost.value(*run));
      cell.seeds.push_back(run->info.seed);
      cell.at_edge |= std::string_view(cost.name) == kRateColumn && !run->label("lr_edge").empty();
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace mneme
