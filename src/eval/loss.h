// Scoring of hidden states at the positions that have a target, by the objective of the model (eval/objective.h). Positions are picked
// *before* the head: on tasks with few answers a row the logits of all others are never computed.
#pragma once

#include <ATen/core/Tensor.h>

#include "eval/batch.h"
#include "mneme/model.h"

namespace mneme {

/// The n scored positions of targets [B,T], row after row.
struct Scored {
  at::Tensor index;    ///< int64 [n], into B·T; undefined = every position
  at::Tensor targets;  ///< int64 [n]
  int64_t count = 0;
  at::Tensor answers = {};  ///< [n,·] of vectors
  /// Those from `first` on, without their index.
  Scored part(int64_t first, int64_t steps) const;
};

Scored scored_positions(const at::Tensor& targets);
Scored scored_positions(const Batch& batch);

/// hidden [B,T,C] → [n,C].
at::Tensor select_scored(const at::Tensor& hidden, const Scored& scored);

/// Σ_n −log softmax(logits_n)[target_n]. logits [n,V], targets int64 [n] → scalar. Keeps the logits and one number a
/// row for the backward pass, not their soft maximum.
at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets);

/// Per scored position, on the CPU.
struct PositionScores {
  at::Tensor loss;     ///< float64 [n], nats or squared errors; not finite where a number that the model says there is not
  at::Tensor correct;  ///< bool [n]: the arg max is the target; of vectors never
};

/// The sum of the loss over the scored positions, for training: scalar.
at::Tensor loss_sum(SequenceModel& model, const at::Tensor& hidden, const Scored& scored);

/// Without gradients; logits are made in pieces of bounded size.
PositionScores score_positions(SequenceModel& model, const at::Tensor& hidden, const Scored& scored);

}  // namespace mneme
