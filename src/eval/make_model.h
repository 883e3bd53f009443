// From a config to its model.
#pragma once

#include <memory>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/task.h"

namespace mneme {

/// Vocabulary, and the longest row that training or test reads.
SequenceModel::Shape model_shape(const Task& task);

/// Fresh weights from run.seed, of type runtime.dtype on runtime.device. ConfigError: no such device here.
std::shared_ptr<SequenceModel> make_model(const Config& config, const SequenceModel::Shape& shape);

}  // namespace mneme
