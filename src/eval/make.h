// What a config makes: its task and its model.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/task.h"

namespace mneme {

/// The registered task of task.kind with its options. DataError: its files cannot be read. ConfigError: eval.per_seed where rows are
/// given, task.loss = all where rows are of vectors.
std::unique_ptr<Task> make_task(const Config& config);

/// Seed of validation and test rows: eval.seed, the same rows for every arm; with eval.per_seed others for every run.seed.
uint64_t rows_seed(const Config& config);

/// "" where the task is tested on every one of eval.lengths, else why not: it has settings of its own.
std::string unread_lengths(const Config& config, const Task& task);

/// What the task's objective says, and the longest row that training or test reads.
SequenceModel::Shape model_shape(const Task& task);

/// Fresh weights from run.seed, of type runtime.dtype on runtime.device. ConfigError: no such device here.
std::shared_ptr<SequenceModel> make_model(const Config& config, const SequenceModel::Shape& shape);

}  // namespace mneme
