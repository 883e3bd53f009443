// What a row cost, and what was measured inside its models: columns beside its results.
#pragma once

#include "report/table.h"

namespace mneme {

constexpr const char* kRateColumn = "learning rate";

/// The runs of the table say whether a sweep chose something: then there are columns of how many trials that took, and of the rate.
/// UsageError: a probe that no run has.
std::vector<TableColumn> cost_columns(const TableOptions& options, const std::vector<const RunRecord*>& runs);
/// One per column.
std::vector<TableCell> cost_cells(const std::vector<TableColumn>& columns, const TableOptions& options,
                                  const std::vector<const RunRecord*>& runs);

/// The first step at which the mean of the validation metric over settings reached the target; −1 = never.
int64_t steps_to_target(const RunRecord& run, double target);

}  // namespace mneme
