// Evaluations as people read them on a terminal. Tables for papers are made by `mneme table`.
#pragma once

#include <string>

#include "mneme/probe.h"
#include "results/run_record.h"
#include "results/stream_record.h"

namespace mneme {

/// One line a setting: rows, the task's metric, the other measures, speed and state; then the answers by what rows are named by.
std::string evaluation_text(const Evaluation& evaluation);

/// theta_mean of each layer by the kind of rows it was measured on (measure_by_name); "" where there is none.
std::string written_text(const Probe& probe);

/// Answers, speed and memory along a stream, and answers by distance (or whatever questions differ by).
std::string stream_text(const StreamRecord& record);

}  // namespace mneme
