// Runs the runs of a sweep as child processes: which are due, a few at a time, what became of each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/sweep.h"

namespace mneme {

struct SweepOptions {
  int64_t jobs = 1;
  int64_t threads_per_job = 1;
  bool retry_failed = false;
  bool keep_going = false;  // also when the first runs all failed alike
  bool quiet = false;
};

/// What became of a run in this launch.
struct SweepOutcome {
  enum class Kind {
    done,         // now, or by an earlier launch
    failed,       // recorded in its run.h5 where that could be written; not tried again without --retry-failed
    in_use,       // another process holds its folder, and showed no sign of life for a while
    interrupted,  // by a signal that asks to stop, or never started because of one; the same command resumes
    not_started,  // because the first runs all failed alike
  };
  std::string id;
  Kind kind = Kind::done;
  std::string error;     // of a failed run; else why it was interrupted or not started, where there is more to say
  bool earlier = false;  // found like this, not run now
};

/// Every run of `runs`, in order, `jobs` at a time; a failing run does not stop the others, unless it is one of the first three that this
/// launch ran, all failed alike (the same fault or message; diverging is a result) and none of `runs` is done: then no more are
/// started while that holds, and with nothing left running the rest is `not_started`. A run is claimed by making its folder; one that
/// was claimed before is resumed unless another process holds its lock: those are waited for at the end, as long as they move, and taken over
/// where they were given up.
std::vector<SweepOutcome> run_all(const std::vector<SweepRun>& runs, const SweepOptions& options,
                                  const std::string& phase);

/// "", or what is wrong with so many of `runs` at a time on these cores.
std::string crowding(const std::vector<SweepRun>& runs, const SweepOptions& options);

}  // namespace mneme
