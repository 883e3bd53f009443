#include "eval/make_model.h"

#include <algorithm>

#include "eval/runtime.h"

namespace mneme {

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
