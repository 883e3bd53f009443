// The inner learning-rate axis of a sweep: which value each combination gets, from its tuning runs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/sweep.h"
#include "mneme/metric.h"

namespace mneme {

struct LrTrial {
  double lr = 0;
  std::string run_id, status;  // as in RunState; "" = not run yet
  double value = 0;            // the task's metric on the validation split, mean over settings
  double loss = 0;             // the same for the loss, nats
};

struct LrChoice {
  Labels labels;
  std::optional<Metric> metric;  // none: no trial has finished
  std::vector<LrTrial> trials;
  bool pending = false;  // some trials are still to be run
  double chosen = 0;     // 0 = pending, or no trial has finished
};

/// From the results of the tuning runs: best value of the metric on the validation split, ties by
/// the lower validation loss, then by the lower rate. A diverged or failed trial is never chosen.
std::vector<LrChoice> choose_lr(const Sweep& sweep);

/// "task:needle arm:mag_linear"
std::string labels_text(const Labels& labels);

/// For people, one line a combination: every trial's value, the chosen one marked.
std::string describe_choice(const std::vector<LrChoice>& choices);

/// <run.folder>/<sweep name>.lr.json. Returns the path.
std::string store_choice(const Sweep& sweep, const std::vector<LrChoice>& choices);

}  // namespace mneme
