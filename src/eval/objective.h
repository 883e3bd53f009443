// The part of an objective (mneme/objective.h) that has tensors: rows as tensors, the loss that training sums, the scores of an
// evaluation. Everything that trains or measures asks this, and tests nothing itself.
#pragma once

#include "eval/loss.h"
#include "mneme/objective.h"

namespace mneme {

class ObjectiveTensors {
 public:
  virtual ~ObjectiveTensors() = default;

  /// Inputs and answers of B rows of T positions, to be filled by set_row.
  virtual void make(Batch& batch, const Objective& objective, int64_t rows, int64_t length) const = 0;
  virtual void set_row(Batch& batch, int64_t row, const Sample& sample) const = 0;
  /// Positions that the sample has inputs for, and of vectors answers; −1 where they do not come out even.
  virtual int64_t positions(const Objective& objective, const Sample& sample) const = 0;

  /// What a model says at n scored positions, outputs [n,·] → the sum of its loss (scalar, with gradients), and the scores of each.
  virtual at::Tensor loss_sum(const at::Tensor& outputs, const Scored& scored) const = 0;
  virtual PositionScores scores(const at::Tensor& outputs, const Scored& scored) const = 0;
};

const ObjectiveTensors& tensors_of(const Objective& objective);

/// UsageError for a model of vectors: `what`, "mneme generate", is for tokens.
void require_tokens(const SequenceModel& model, const std::string& what);

}  // namespace mneme
