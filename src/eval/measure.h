// What goes on inside a model, and what went wrong in it.
#pragma once

#include <string>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/probe.h"
#include "mneme/task.h"

namespace mneme {

/// A few validation rows of the task's last training setting, read as an evaluation reads them: surprise, gates, norms of fast
/// weights and projections, guard firings, by layer (include/mneme/probe.h).
Probe measure(SequenceModel& model, const Task& task, const Config& config);

/// Of rows, as SequenceModel::hidden takes them, after which a loss or gradient was not finite: the first layer and head whose memory is not finite, from which
/// token on, or that all are; and each layer's largest gates and memory. Empty for a model without a memory.
std::string describe_divergence(SequenceModel& model, const at::Tensor& inputs);

}  // namespace mneme
