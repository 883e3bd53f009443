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
  bool quiet = false;
};

/// What became of a run in this launch.
struct SweepOutcome {
  enum class Kind {
    done,         // now, or by an earlier launch
    failed,       // recorded in its run.h5 where that could be written; not tried again without --retry-failed
    in_use,       // another process holds its folder
    interrupted,  // by SIGINT or SIGTERM, or never started because of one; the same command resumes
  };
  std::string id;
  Kind kind = Kind::done;
  std::string error;     // of a failed run
  bool earlier = false;  // found like this, not run now
};

/// Every run of `runs`, in order, `jobs` at a time; a failing run does not stop the others. A run is claimed by making
/// its folder; one that was claimed before is resumed unless another process holds its lock.
std::vector<SweepOutcome> run_all(const std::vector<SweepRun>& runs, const SweepOptions& options,
                                  const std::string& phase);

}  // namespace mneme
