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

/// Test rows of that setting, read so by each name on a row axis (Task::row_names): "text/licences/layer0/memory/theta_mean" of the rows whose
/// text is licences. Empty where no row axis has names.
Probe measure_by_name(SequenceModel& model, const Task& task, const Config& config);

/// Of rows, as SequenceModel::hidden takes them, after which a loss or gradient was not finite: the first layer and head whose memory is not
/// finite, from which token on, or that all are; and each layer's largest gates and memory. Empty for a model without a memory.
std::string describe_divergence(SequenceModel& model, const at::Tensor& inputs);

}  // namespace mneme
