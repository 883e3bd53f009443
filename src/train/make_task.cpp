#include "train/make_task.h"

namespace mneme {

std::unique_ptr<Task> make_task(const Config& config) {
  const TaskPlugin& plugin = TaskRegistry::instance().get(config.task.kind);
  std::vector<int64_t> lengths = config.eval.lengths;
  if (lengths.empty()) lengths.push_back(config.task.length);
  return plugin.make(TaskContext{config.task, *config.task_options, std::move(lengths)});
}

}  // namespace mneme
