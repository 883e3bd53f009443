// What a sweep would do, before any of it is done.
#pragma once

#include <string>
#include <vector>

#include "config/sweep.h"

namespace mneme {

/// The numbers of --index: learning-rate trials first, then the runs proper.
struct SweepPlan {
  std::vector<SweepRun> runs;
  size_t tuning = 0;  // so many of them are trials
  /// Per run: why its learning rate is not known; such a run stands here with the first rate of the axis. "" = it is known.
  std::vector<std::string> waiting;
};

SweepPlan plan_sweep(const Sweep& sweep);

/// Index, id, state of its folder and labels, one line a run.
std::string list_runs(const SweepPlan& plan);

/// Number of runs and the tokens they train on and are tested on. Makes every task, so that unreadable texts show.
std::string estimate(const SweepPlan& plan);

}  // namespace mneme
