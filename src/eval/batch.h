// Rows of a task as tensors, and which rows a training step reads.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "config/config.h"
#include "mneme/task.h"

namespace mneme {

/// B rows of T tokens.
struct Batch {
  at::Tensor tokens;                         ///< int64 [B,T]
  at::Tensor targets;                        ///< int64 [B,T], −1 = not scored
  std::vector<std::vector<int64_t>> slices;  ///< per row: its value on every row axis of the task

  int64_t rows() const { return tokens.size(0); }
  int64_t length() const { return tokens.size(1); }
};

/// Rows first … first + rows − 1 of a split.
Batch make_batch(const Task& task, Split split, uint64_t seed, uint64_t first, int64_t rows, const Setting& setting);

/// Rows of `length` tokens that evaluation and prediction read side by side: eval.batch_tokens tokens are held at once, of a row
/// those of a segment, or all of them where full attention keeps them. At least 1.
int64_t rows_at_once(const Config& config, int64_t length);

/// train.loss on every token: positions without a target of their own get the next input token (the last one stays out).
void score_every_token(Batch& batch);

/// What a training step reads: a pure function of (run.seed, step), so that a resumed run reads the same rows.
struct StepRows {
  Setting setting;
  uint64_t first = 0;
  int64_t rows = 0;
};

class StepPlan {
 public:
  StepPlan(const Task& task, const TrainOptions& train, int64_t seed);
  StepRows at(int64_t step) const;

 private:
  int64_t rows_of(const Setting& setting) const;

  const Task& task_;
  std::vector<Setting> settings_;
  int64_t batch_, batch_tokens_, most_rows_ = 0;
  uint64_t seed_;
};

}  // namespace mneme
