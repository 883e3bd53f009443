// Evaluations as people read them on a terminal. Tables for papers are made by `mneme table`.
#pragma once

#include <string>

#include "results/run_record.h"
#include "results/stream_record.h"

namespace mneme {

/// One line a setting: rows, the task's metric, the other measures, speed and state.
std::string evaluation_text(const Evaluation& evaluation);

/// Answers, speed and memory along a stream, and answers by distance (or whatever questions differ by).
std::string stream_text(const StreamRecord& record);

}  // namespace mneme
