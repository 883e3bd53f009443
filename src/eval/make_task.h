// From a config to its task.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "mneme/task.h"

namespace mneme {

/// The registered task of task.kind with its options. DataError: its files cannot be read.
std::unique_ptr<Task> make_task(const Config& config);

/// "" where the task is tested on every one of eval.lengths, else why not: it has settings of its own.
std::string unread_lengths(const Config& config, const Task& task);

}  // namespace mneme
