#include "eval/make.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "eval/runtime.h"
#include "mneme/errors.h"
#include "mneme/random.h"

namespace mneme {

std::unique_ptr<Task> make_task(const Config& config) {
  const TaskPlugin& plugin = TaskRegistry::instance().get(config.task.kind);
  std::vector<int64_t> lengths = config.eval.lengths;
  if (lengths.empty()) lengths.push_back(config.task.length);
  std::unique_ptr<Task> task = plugin.make(TaskContext{config.task, *config.task_options, std::move(lengths)});
  if (config.eval.per_seed && task->rows(Split::test) > 0)
    throw ConfigError(fmt::format("eval.per_seed = true: the rows of task.kind = {} are given, the same for every seed; leave it out", config.task.kind));
  const Objective objective = task->objective();
  if (!objective.of_tokens() && std::min(objective.inputs, objective.outputs) < 1)
    throw ConfigError(fmt::format("task.kind = {} says neither how many tokens there are (Task::vocab) nor how wide its vectors are "
                                  "(Task::objective)", config.task.kind));
  if (config.task.loss == "all" && !objective.of_tokens())
    throw ConfigError(fmt::format("task.loss = all: the rows of task.kind = {} are of vectors, and a vector has no next token; leave it out",
                                  config.task.kind));
  if (config.model.embedding_init == "zero" && !objective.of_tokens())
    throw ConfigError(fmt::format("model.embedding_init = zero: the rows of task.kind = {} are of vectors, and there is no embedding; leave it out",
                                  config.task.kind));
  return task;
}

uint64_t rows_seed(const Config& config) {
  const uint64_t seed = static_cast<uint64_t>(config.eval.seed);
  return config.eval.per_seed ? mix_seed(seed, "eval.per_seed", static_cast<uint64_t>(config.run.seed)) : seed;
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
  const Objective objective = task.objective();
  SequenceModel::Shape shape{objective.vocab, 0, objective.inputs, objective.outputs};
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
