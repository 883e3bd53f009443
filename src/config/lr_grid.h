// A grid of learning rates, tried and then chosen from, that grows where its best rate lies at an edge.
//
// Best is the better metric, then the lower loss, then the lower rate; a diverged trial is worse than any value, a failed one says nothing.
// Where the best rate lies at an edge and the trial there is not a failed one, the next rate goes on by the grid's own ratio on that side:
// of 1, 4, 16e-3 with 16e-3 best, 64e-3. Where all have diverged it is the next lower one. Everything follows from the results alone,
// so launches that share a folder agree, in any order.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mneme/metric.h"

namespace mneme {

struct RateTrial {
  enum class State { open, done, diverged, failed };  // open: not run, or running
  double rate = 0;
  State state = State::open;
  double value = 0;  // of the metric, on the validation split
  double loss = 0;   // likewise, nats
};

struct RateChoice {
  std::optional<size_t> best;  // place among the trials; none: none is done
  bool open = false;           // some trials are open: nothing is chosen yet
  bool at_edge = false;        // beyond the best rate, on one side, none was done or diverged
  std::optional<double> next;  // the rate to try before choosing
};

/// `extensions`: so many rates may still be added, none above what train.lr may be.
RateChoice choose_rate(const std::vector<RateTrial>& trials, const Metric& metric, int64_t extensions);

/// Whether a trial that is done is better than another one, apart from their rates; exactly one of them, or neither.
bool better_trial(const RateTrial& trial, const RateTrial& than, const Metric& metric);

}  // namespace mneme
