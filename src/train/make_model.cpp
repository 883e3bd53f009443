#include "train/make_model.h"

#include <torch/cuda.h>

#include <algorithm>

#include "mneme/errors.h"

namespace mneme {

namespace {

at::Device device_of(const RuntimeOptions& runtime) {
  at::Device device(at::kCPU);
  try {
    device = at::Device(runtime.device);
  } catch (const c10::Error&) {
    throw ConfigError("runtime.device = " + runtime.device + ": not a device; allowed: cpu, cuda, cuda:0, …");
  }
  if (device.is_cpu()) return device;
  if (!device.is_cuda() || !torch::cuda::is_available())
    throw ConfigError("runtime.device = " + runtime.device + ": this LibTorch finds no such device here; use cpu");
  return device;
}

}  // namespace

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
