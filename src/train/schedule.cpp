#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mneme {

double learning_rate(const TrainOptions& train, int64_t step) {
  if (step < train.warmup) return train.lr * static_cast<double>(step + 1) / static_cast<double>(train.warmup);
  if (train.schedule == "constant") return train.lr;
  const double whole = static_cast<double>(std::max<int64_t>(1, train.steps - train.warmup));
  const double done = std::min(1.0, static_cast<double>(step - train.warmup) / whole);
  const double share = train.lr_min + (1 - train.lr_min) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  return train.lr * share;
}

double penalty_share(const TrainOptions& train, int64_t step) {
  const double done = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, train.steps));
  if (done < train.penalty_from) return 0;
  const double rise = train.penalty_full - train.penalty_from;
  return rise > 0 ? std::min(1.0, (done - train.penalty_from) / rise) : 1;
}

}  // namespace mneme
