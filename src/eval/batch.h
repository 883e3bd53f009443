// Rows of a task as tensors, and which rows a training step reads.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "config/config.h"
#include "mneme/task.h"

namespace mneme {

/// B rows of T positions.
struct Batch {
  at::Tensor inputs;                         ///< int64 [B,T], or of vectors float32 [B,T,·]
  at::Tensor targets;                        ///< int64 [B,T], −1 = not scored
  at::Tensor answers;                        ///< of vectors: float32 [B,T,·]; undefined of tokens, whose targets are the answers
  std::vector<std::vector<int64_t>> slices = {};  ///< per row: its value on every row axis of the task
  std::vector<std::vector<int64_t>> places = {};  ///< per row: that of each position on the task's position axis; empty without one

  int64_t rows() const { return targets.size(0); }
  int64_t length() const { return targets.size(1); }
  /// Rows, or positions, first … first + count − 1, without their slices and places.
  Batch part_of_rows(int64_t first, int64_t count) const;
  Batch part_of_positions(int64_t first, int64_t count) const;
  Batch to(at::Device device) const;
};

/// Rows first … first + rows − 1 of a split.
Batch make_batch(const Task& task, Split split, uint64_t seed, uint64_t first, int64_t rows, const Setting& setting);

/// Rows of `length` positions that evaluation and prediction read side by side: eval.batch_tokens tokens are held at once, of a row
/// those of a segment, or all of them where full attention keeps them. At least 1.
int64_t rows_at_once(const Config& config, int64_t length);

/// task.loss on every token: positions without a target of their own get the next input token (the last one stays out).
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
