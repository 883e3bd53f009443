// The HDF5 layout of a run below a group: the root of run.h5, or /runs/<run id> of a file of many.
#pragma once

#include "core/hdf5.h"
#include "results/run_record.h"

namespace mneme {

void write_record(h5::Group& group, const RunRecord& run);
void write_evaluations(h5::Group& group, const std::vector<Evaluation>& evaluations);

RunRecord read_record(const h5::Group& group);
std::vector<Evaluation> read_evaluations(const h5::Group& group);

/// Every member of EvalSums that is stored as a count, by dataset name.
struct CountField {
  const char* name;
  int64_t EvalSums::* member;
  const char* description;
};
constexpr CountField kCountFields[] = {
    {"rows", &EvalSums::rows, "sequences"},
    {"scored", &EvalSums::scored, "scored positions"},
    {"correct", &EvalSums::correct, "scored positions whose arg max is right"},
    {"exact", &EvalSums::exact, "sequences with all scored positions right"},
};

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

/// "depth_percent" → "by_depth_percent"; several axes are joined by "_and_".
std::string slice_group(const std::vector<std::string>& axes);

}  // namespace mneme
