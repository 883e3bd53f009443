// The HDF5 layout of one run below a group (the root of run.h5 and, in files of many runs of schema 1, /runs/<run id>), and that of
// many runs (schema mneme.runs, version 2): long tables over all runs instead of some fifty small datasets a run, whose headers
// weighed a hundred times the numbers. docs/file-formats.md describes them.
#pragma once

#include <string>
#include <vector>

#include "io/hdf5.h"
#include "results/run_record.h"

namespace mneme {

constexpr int64_t kRunSchema = 1;   // run.h5
constexpr int64_t kRunsSchema = 2;  // a file of many runs

void write_record(h5::Group& group, const RunRecord& run);
RunRecord read_record(const h5::Group& group);

void write_run_tables(h5::Group& file, const std::vector<RunRecord>& runs);
/// The runs in the order they were written; DataError or StoreError where a table is missing or damaged.
std::vector<RunRecord> read_run_tables(const h5::Group& file);

/// "depth_percent" → "by_depth_percent"; several axes are joined by "_and_".
std::string slice_group(const std::vector<std::string>& axes);
/// "text" → "text_names": what the values on a row axis are called.
std::string names_of(const std::string& axis);

}  // namespace mneme
