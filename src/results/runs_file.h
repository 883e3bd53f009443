// The HDF5 layout of a file of many runs (schema mneme.runs, version 2): long tables over all runs instead of some fifty small
// datasets a run, whose headers weighed a hundred times the numbers. docs/file-formats.md describes it.
#pragma once

#include <vector>

#include "io/hdf5.h"
#include "results/run_record.h"

namespace mneme {

void write_run_tables(h5::Group& file, const std::vector<RunRecord>& runs);

/// The runs in the order they were written; DataError or StoreError where a table is missing or damaged.
std::vector<RunRecord> read_run_tables(const h5::Group& file);

}  // namespace mneme
