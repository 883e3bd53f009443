// What a row cost: columns beside its results.
#pragma once

#include "report/table.h"

namespace mneme {

std::vector<TableColumn> cost_columns(const TableOptions& options);
std::vector<TableCell> cost_cells(const TableOptions& options, const std::vector<const RunRecord*>& runs);

/// The first step at which the mean of the validation metric over settings reached the target; −1 = never.
int64_t steps_to_target(const RunRecord& run, double target);

}  // namespace mneme
