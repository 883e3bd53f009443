// The HDF5 layout of a run below a group: the root of run.h5 (and, in table files of schema 1, /runs/<run id>).
#pragma once

#include "io/hdf5.h"
#include "results/run_record.h"

namespace mneme {

void write_record(h5::Group& group, const RunRecord& run);
void write_evaluations(h5::Group& group, const std::vector<Evaluation>& evaluations);

RunRecord read_record(const h5::Group& group);
std::vector<Evaluation> read_evaluations(const h5::Group& group);

/// "depth_percent" → "by_depth_percent"; several axes are joined by "_and_".
std::string slice_group(const std::vector<std::string>& axes);

}  // namespace mneme
