// What a table may claim: which cells differ, and by how much chance alone could make them differ.
#pragma once

#include "report/table.h"

namespace mneme {

/// What a cell's share is counted from over all seeds. Where seeds answer the same rows, these count once: rate times the trials of one
/// seed. 0 of 0 of what is no share, of a mean over several settings or slices, and where rows are unknown.
Counts counts_of(const TableCell& cell, const Metric& metric);

/// Rows that a seed answered, the fewest of any seed of the cell, and of any setting or slice it is a mean over; 0 = unknown.
int64_t rows_of_seed(const TableCell& cell);

/// Of two cells of a column: pairs of the same seed where there are two, else Welch's test. Fisher's counts are of the same seeds.
CellDifference compare(const TableCell& ours, const TableCell& theirs, const Metric& metric);

/// Fills in `best`, and with options.against `differences`. UsageError: there is no such row.
void compare_rows(Table& table);

}  // namespace mneme
