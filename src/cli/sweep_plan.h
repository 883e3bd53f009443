// What a sweep would do, before any of it is done.
#pragma once

#include <string>
#include <vector>

#include "cli/sweep_choice.h"
#include "config/sweep.h"

namespace mneme {

/// The numbers of --index, the same whatever is done: the trials of the grid, those beyond it that may come (the first of every candidate,
/// then the second …), the runs proper.
struct SweepPlan {
  std::vector<SweepRun> runs;
  size_t tuning = 0;  // so many of them are trials
  /// Per run: why it is none now; such a run stands here with the first rate and candidate. "" = it is known. kMayCome: a trial beyond the
  /// grid, before the grid's results; kNotNeeded: by these results. Else: what its settings wait for.
  std::vector<std::string> waiting;

  static constexpr const char* kMayCome = "may come";
  static constexpr const char* kNotNeeded = "not needed";
};

/// `choices`: of sweep, as choose() returns them; none where nothing is chosen.
SweepPlan plan_sweep(const Sweep& sweep, const std::vector<Choice>& choices);
SweepPlan plan_sweep(const Sweep& sweep);

/// Index, id, state of its folder and labels, one line a run.
std::string list_runs(const Sweep& sweep, const SweepPlan& plan);

/// Number of runs and the tokens they train on and are tested on. Makes every task, so that unreadable texts show.
std::string estimate(const SweepPlan& plan);

}  // namespace mneme
