#include "eval/batch.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>

#include "eval/objective.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "mneme/random.h"

namespace mneme {

Batch make_batch(const Task& task, Split split, uint64_t seed, uint64_t first, int64_t rows, const Setting& setting) {
  const int64_t length = task.length(setting);
  const ObjectiveTensors& tensors = tensors_of(task.objective());
  Batch batch;
  tensors.make(batch, task.objective(), rows, length);
  batch.targets = at::empty({rows, length}, at::kLong);
  int64_t* targets = batch.targets.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    Sample sample = task.sample(split, seed, first + static_cast<uint64_t>(row), setting);
    const int64_t read = tensors.positions(task.objective(), sample);
    if (read != length || static_cast<int64_t>(sample.targets.size()) != length)
      throw DataError(fmt::format("row {} of the {} split has {} tokens and {} targets where the setting promises {}",
                                  first + static_cast<uint64_t>(row), to_string(split), read, sample.targets.size(), length));
    if (!task.position_axis().empty() && static_cast<int64_t>(sample.places.size()) != length)
      throw DataError(fmt::format("row {} of the {} split has {} values of {} where it has {} tokens", first + static_cast<uint64_t>(row),
                                  to_string(split), sample.places.size(), task.position_axis(), length));
    tensors.set_row(batch, row, sample);
    std::copy(sample.targets.begin(), sample.targets.end(), targets + row * length);
    batch.slices.push_back(std::move(sample.slice));
    batch.places.push_back(std::move(sample.places));
  }
  return batch;
}

Batch Batch::part_of_rows(int64_t first, int64_t count) const {
  const auto part = [&](const at::Tensor& x) { return x.defined() ? x.narrow(0, first, count) : x; };
  return {part(inputs), part(targets), part(answers)};
}

Batch Batch::part_of_positions(int64_t first, int64_t count) const {
  const auto part = [&](const at::Tensor& x) { return x.defined() ? x.narrow(1, first, count).contiguous() : x; };
  return {part(inputs), part(targets), part(answers)};
}

Batch Batch::to(at::Device device) const {
  const auto moved = [&](const at::Tensor& x) { return x.defined() ? x.to(device) : x; };
  return {moved(inputs), moved(targets), moved(answers), slices, places};
}

int64_t rows_at_once(const Config& config, int64_t length) {
  const int64_t held = keeps_every_token(config.model) ? length : std::min(config.eval.segment, length);
  return std::max<int64_t>(1, config.eval.batch_tokens / held);
}

void score_every_token(Batch& batch) {
  const int64_t length = batch.length();
  const int64_t* tokens = batch.inputs.const_data_ptr<int64_t>();
  int64_t* targets = batch.targets.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < batch.rows(); ++row)
    for (int64_t t = 0; t + 1 < length; ++t)
      if (targets[row * length + t] < 0) targets[row * length + t] = tokens[row * length + t + 1];
}

StepPlan::StepPlan(const Task& task, const TrainOptions& train, int64_t seed)
    : task_(task),
      settings_(task.train_settings()),
      batch_(train.batch),
      batch_tokens_(train.batch_tokens),
      seed_(static_cast<uint64_t>(seed)) {
  if (settings_.empty()) throw ConfigError("the task names no setting to train on");
  for (const Setting& setting : settings_) most_rows_ = std::max(most_rows_, rows_of(setting));
}

int64_t StepPlan::rows_of(const Setting& setting) const {
  return batch_tokens_ > 0 ? std::max<int64_t>(1, batch_tokens_ / task_.length(setting)) : batch_;
}

StepRows StepPlan::at(int64_t step) const {
  // Each step owns as many indices as the largest step needs, so that no row is read twice whatever was drawn before.
  StepRows rows;
  rows.setting = settings_[Random(seed_, "setting", static_cast<uint64_t>(step)).below(settings_.size())];
  rows.rows = rows_of(rows.setting);
  rows.first = static_cast<uint64_t>(step) * static_cast<uint64_t>(most_rows_);
  return rows;
}

}  // namespace mneme
