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

/// "layer 1, head 0: fast weights 0": the first part of a state, memories first, that holds a number that is not finite; of several rows with
/// the row. "" where all are finite.
std::string not_finite_part(const State& state);

/// Of rows, as SequenceModel::hidden takes them, read from a state on: what is not finite first, and from which of their tokens on: "layer 1,
/// head 0: fast weights 0 are not finite from token 130 on"; before it the first weights that are not. "" where nothing is. `read`: tokens
/// before these, which are counted too.
std::string where_not_finite(SequenceModel& model, const at::Tensor& inputs, const State& start = {}, int64_t read = 0);

/// The same of a training step whose loss or gradient was not finite, or that all memories are; and each layer's largest gates and memory.
std::string describe_divergence(SequenceModel& model, const at::Tensor& inputs);

}  // namespace mneme
