// A run: config → task → model → optimizer → loop → run folder. Everything that `mneme run` does beside its command line.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "base/log.h"
#include "results/run_store.h"

namespace mneme {

struct TrainerOptions {
  std::string command_line;  ///< for the record
};

struct TrainerResult {
  std::string folder;                   ///< the run folder
  bool already_done = false;            ///< it was finished before by this code version; nothing was computed
  std::vector<Evaluation> evaluations;  ///< of the last step: validation, test
  std::string not_finite;               ///< which of them have no value for answers that are not finite; "" = all have one
  RunCost cost;
};

/// Trains and evaluates, or goes on where the run folder's checkpoint stands: bitwise as if it had never stopped.
///
/// Interrupted: a request to stop came (base/signals.h); a checkpoint was saved, the same call resumes. DivergedError: run.h5 says
/// `diverged` and holds every result up to there. Any other failure is recorded as `failed`, with its message.
/// StoreError: the folder is in use, or belongs to another config or code version.
TrainerResult train(const Config& config, const TrainerOptions& options, Log& log);

}  // namespace mneme
