// What a run folder says about its run, without disturbing whoever writes it.
#pragma once

#include <cstdint>
#include <string>

#include "mneme/metric.h"

namespace mneme {

struct RunState {
  std::string status;        // "done", "failed", "diverged", "running" (also: was interrupted), "unreadable" now, or "" = no run.h5 yet
  std::string error;         // of a failed or diverged run; of one that is done: which of its results are not finite; why it is unreadable
  std::string code_version;  // that wrote run.h5
  std::string config_hash;   // of the run's config

  bool finished() const { return status == "done"; }
  /// Not ours to read, or open for writing elsewhere: what is in it is not known, and nothing may take its place.
  bool unreadable() const { return status == "unreadable"; }
  bool failed() const { return status == "failed" || status == "diverged"; }
};

/// Of the run.h5 in `folder`. A damaged file counts as unfinished: the run itself says what is wrong with it.
RunState read_run_state(const std::string& folder);

/// The last things a live run wrote to metrics.jsonl.
struct RunProgress {
  int64_t step = 0;
  int64_t settings = 0;                // of the last evaluation; 0 = none yet
  Metric metric = Metric::accuracy;    // the task's
  double value = 0;                    // of it, mean over them
};

RunProgress read_run_progress(const std::string& folder);

}  // namespace mneme
