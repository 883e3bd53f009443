// From a config to its task.
#pragma once

#include <memory>

#include "config/config.h"
#include "mneme/task.h"

namespace mneme {

/// The registered task of task.kind with its options. DataError: its files cannot be read.
std::unique_ptr<Task> make_task(const Config& config);

}  // namespace mneme
