// metrics.jsonl: the live view of a run, one JSON object a line (docs/file-formats.md, section "metrics.jsonl").
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "results/run_record.h"

namespace mneme {

std::string metrics_line(const TrainRow& row);
/// One line per setting.
std::vector<std::string> metrics_lines(const Evaluation& evaluation);
std::string probe_line(const std::string& name, int64_t step, double value, const std::string& unit);

/// The whole stream of a run, as it would have been written live.
std::string metrics_text(const RunRecord& run);

}  // namespace mneme
