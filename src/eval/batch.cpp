#include "eval/batch.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>

#include "mneme/errors.h"
#include "mneme/model.h"
#include "mneme/random.h"

namespace mneme {

Batch make_batch(const Task& task, Split split, uint64_t seed, uint64_t first, int64_t rows, const Setting& setting) {
  const int64_t length = task.length(setting);
  Batch batch;
  batch.tokens = at::empty({rows, length}, at::kLong);
  batch.targets = at::empty({rows, length}, at::kLong);
  int64_t* tokens = batch.tokens.mutable_data_ptr<int64_t>();
  int64_t* targets = batch.targets.mutable_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    Sample sample = task.sample(split, seed, first + static_cast<uint64_t>(row), setting);
    if (static_cast<int64_t>(sample.tokens.size()) != length || sample.tokens.size() != sample.targets.size())
      throw DataError(fmt::format("row {} of the {} split has {} tokens and {} targets where the setting promises {}",
                                  first + static_cast<uint64_t>(row), to_string(split), sample.tokens.size(),
                                  sample.targets.size(), length));
    std::copy(sample.tokens.begin(), sample.tokens.end(), tokens + row * length);
    std::copy(sample.targets.begin(), sample.targets.end(), targets + row * length);
    batch.slices.push_back(std::move(sample.slice));
  }
  return batch;
}

int64_t rows_at_once(const Config& config, int64_t length) {
  const int64_t held = keeps_every_token(config.model) ? length : std::min(config.eval.segment, length);
  return std::max<int64_t>(1, config.eval.batch_tokens / held);
}

void score_every_token(Batch& batch) {
  const int64_t length = batch.length();
  const int64_t* tokens = batch.tokens.const_data_ptr<int64_t>();
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
