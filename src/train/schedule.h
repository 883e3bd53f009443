// The learning rate of a step: a pure function of the config, so that nothing of it needs to be in a checkpoint.
#pragma once

#include <cstdint>

#include "config/config.h"

namespace mneme {

/// Linear warm-up over train.warmup steps, then a cosine from lr to lr · lr_min at train.steps, or constant.
/// `step` counts from 0: step 0 already moves, by lr / warmup.
double learning_rate(const TrainOptions& train, int64_t step);

/// What the model's penalties count at a step: 0 before train.penalty_from of train.steps, 1 from train.penalty_full on, linear between.
double penalty_share(const TrainOptions& train, int64_t step);

}  // namespace mneme
