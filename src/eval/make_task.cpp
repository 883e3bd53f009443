#include "eval/make_task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace mneme {

std::unique_ptr<Task> make_task(const Config& config) {
  const TaskPlugin& plugin = TaskRegistry::instance().get(config.task.kind);
  std::vector<int64_t> lengths = config.eval.lengths;
  if (lengths.empty()) lengths.push_back(config.task.length);
  return plugin.make(TaskContext{config.task, *config.task_options, std::move(lengths)});
}

std::string unread_lengths(const Config& config, const Task& task) {
  const std::vector<Setting> tested = task.test_settings();
  for (const int64_t length : config.eval.lengths)
    if (!std::count(tested.begin(), tested.end(), Setting{length}))
      return fmt::format("eval.lengths = {}: task.kind = {} is tested on settings of its own ({}; mneme options task.{}), not by length",
                         length, config.task.kind, fmt::join(task.axes(), " x "), config.task.kind);
  return "";
}

}  // namespace mneme
