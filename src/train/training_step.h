// One optimizer step: rows → forward and backward, by micro-batch and by segment → clip → AdamW.
#pragma once

#include <memory>
#include <optional>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/task.h"
#include "eval/batch.h"
#include "train/optimizer.h"

namespace mneme {

struct StepResult {
  int64_t tokens = 0;
  double loss = 0;       // mean over the scored positions of the step, Metric::training_loss; without penalties
  double grad_norm = 0;  // before clipping
  double lr = 0;
  bool skipped = false;  // no row has a target: nothing was learned, and there is no loss
};

/// The learning rate of a step, a function of the config alone, so that no checkpoint holds it: linear warm-up over train.warmup steps, then a
/// cosine from lr to lr · lr_min at train.steps, or constant. `step` counts from 0: step 0 already moves, by lr / warmup.
double learning_rate(const TrainOptions& train, int64_t step);

/// What the model's penalties count at a step: 0 before train.penalty_from of train.steps, 1 from train.penalty_full on, linear between.
double penalty_share(const TrainOptions& train, int64_t step);

class TrainingStep {
 public:
  /// All are kept by reference.
  TrainingStep(const Config& config, const Task& task, SequenceModel& model, AdamW& optimizer);

  /// Step number `step`, counted from 0. DivergedError names the step and what stopped being finite; weights are as before.
  StepResult run(int64_t step);

  /// The generator of the dropout stream, for checkpoints; undefined without dropout.
  std::optional<at::Generator>& dropout() { return dropout_; }

 private:
  double accumulate_gradients(const Batch& batch, int64_t scored, double penalty);
  double micro_batch(const Batch& rows, int64_t scored, int64_t all_tokens, double penalty);

  const Config& config_;
  const Task& task_;
  SequenceModel& model_;
  AdamW& optimizer_;
  StepPlan plan_;
  at::Device device_;
  std::optional<at::Generator> dropout_;
};

}  // namespace mneme
