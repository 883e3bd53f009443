#include "eval/make.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "eval/runtime.h"

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

SequenceModel::Shape model_shape(const Task& task) {
  SequenceModel::Shape shape{task.vocab(), 0};
  for (const Setting& setting : task.train_settings())
    shape.max_length = std::max(shape.max_length, task.length(setting));
  for (const Setting& setting : task.test_settings())
    shape.max_length = std::max(shape.max_length, task.length(setting));
  return shape;
}

std::shared_ptr<SequenceModel> make_model(const Config& config, const SequenceModel::Shape& shape) {
  const at::Device device = device_of(config.runtime);
  auto model =
      std::make_shared<SequenceModel>(config.model, config.memory, shape, static_cast<uint64_t>(config.run.seed));
  model->to(device, config.runtime.dtype == "float64" ? at::kDouble : at::kFloat);
  return model;
}

}  // namespace mneme
