// What a sweep chooses on its tuning seed: which learning rate each combination gets, and which of the settings that it is searched over.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/lr_grid.h"
#include "config/sweep.h"

namespace mneme {

struct Trial {
  SweepRun run;
  std::string status;  // as in RunState; "" = not run yet
  RateTrial result;    // the task's metric and the loss on the validation split, means over settings
};

struct Choice {
  Labels labels;
  std::optional<Metric> metric;  // none: no trial has finished
  std::vector<Trial> trials;     // by candidate; the grid's, then those beyond it as far as they are known
  std::vector<bool> open;        // per candidate: some of its trials are still to be run
  std::optional<Tuned> tuned;    // none: pending, or no trial has finished

  bool pending() const;
};

/// Per combination, from the results of the trials: of every candidate the best rate (config/lr_grid.h), of these the best one, ties by the
/// lower validation loss, then by their order.
std::vector<Choice> choose(const Sweep& sweep);

/// Rates beyond the grid that a candidate may come to.
int64_t most_extensions(const Sweep& sweep);

/// "task:needle arm:mag_linear"
std::string labels_text(const Labels& labels);
/// What else than the rate a trial tries, "model.heads:2 model.layers:3"; "" = nothing.
std::string searched_text(const Sweep& sweep, const SweepRun& run);

/// For people, one line a combination: every trial's value, the chosen one marked.
std::string describe_choice(const Sweep& sweep, const std::vector<Choice>& choices);

/// <run.folder>/<sweep name>.lr.json. Returns the path.
std::string store_choice(const Sweep& sweep, const std::vector<Choice>& choices);

}  // namespace mneme
