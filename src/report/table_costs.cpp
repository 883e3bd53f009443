#include "report/table_costs.h"

namespace mneme {

namespace {

struct Cost {
  const char* name;
  const char* unit;
  double (*value)(const RunCost&);
};

constexpr double kKiB = 1024;

const Cost kCosts[] = {
    {"parameters", "", [](const RunCost& cost) { return static_cast<double>(cost.parameters); }},
    {"state", "KiB", [](const RunCost& cost) { return static_cast<double>(cost.state_bytes) / kKiB; }},
    {"training tokens", "", [](const RunCost& cost) { return static_cast<double>(cost.training_tokens); }},
    {"tokens/s", "", [](const RunCost& cost) { return cost.tokens_per_s; }},
    {"peak", "MiB", [](const RunCost& cost) { return cost.peak_mib; }},
    {"wall", "s", [](const RunCost& cost) { return cost.wall_seconds; }},
};

}  // namespace

int64_t steps_to_target(const RunRecord& run, double target) {
  for (const Evaluation& evaluation : run.evaluations) {
    if (evaluation.split != "validation" || evaluation.settings.empty()) continue;
    if (evaluation.metric.reaches(evaluation.value(), target)) return evaluation.step;
  }
  return -1;
}

std::vector<TableColumn> cost_columns(const TableOptions& options) {
  std::vector<TableColumn> columns;
  if (options.target > 0) columns.push_back({{}, "steps to target", ""});
  if (!options.costs) return columns;
  for (const Cost& cost : kCosts) columns.push_back({{}, cost.name, cost.unit});
  return columns;
}

std::vector<TableCell> cost_cells(const TableOptions& options, const std::vector<const RunRecord*>& runs) {
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
    TableCell cell;
    for (const RunRecord* run : runs) {
      if (run->status != "done") continue;
      cell.values.push_back(cost.value(run->cost));
      cell.seeds.push_back(run->info.seed);
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace mneme
