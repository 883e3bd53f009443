// Evaluations as people read them on a terminal. Tables for papers are made by `mneme table`.
#pragma once

#include <string>

#include "results/run_record.h"
#include "results/stream_record.h"

namespace mneme {

/// One line a setting: rows, the task's metric, the other measures, speed and state.
std::string evaluation_text(const Evaluation& evaluation);

/// "exact_match 98.4 %" or "loss 1.2345": the task's own metric, mean over the settings.
std::string metric_text(const Evaluation& evaluation);

/// Mean over settings of a metric by name.
double mean_over_settings(const Evaluation& evaluation, const std::string& metric);

/// Answers, speed and memory along a stream, and answers by distance (or whatever questions differ by).
std::string stream_text(const StreamRecord& record);

}  // namespace mneme
