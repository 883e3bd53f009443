// A run folder and its HDF5 file (contract: docs/file-formats.md, section "run.h5").
//
//   results/runs/<run id>/  config.ini · log.txt · metrics.jsonl · checkpoint/ · run.h5 · lock
//
// The store holds the folder's lock (base/folder_lock.h) as long as it lives: a second process gets a StoreError naming the
// holder. A run that ended (done, diverged) is only read, also in a folder where nothing may be written. `run.h5` is always written whole to a
// temporary file and renamed into place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "results/run_record.h"

namespace mneme {

/// config.ini of a run folder: the canonical text, sealed (io/seal.h).
std::string run_config(const std::string& canonical);

class RunStore {
 public:
  /// Opens or makes `folder` and takes its lock. Throws StoreError (in use; not writable; holds a run of another config hash).
  RunStore(std::string folder, RunInfo info);
  ~RunStore();
  RunStore(const RunStore&) = delete;

  const std::string& folder() const;
  /// Before something is put beside what the store writes. StoreError where the folder was deleted while the run worked in it.
  void require_folder() const;
  std::string checkpoint_folder() const;
  /// Status in an existing run.h5 ("running", "done", "failed", "diverged"), or "" where there is none.
  std::string previous_status() const;
  std::string previous_code_version() const;
  std::string previous_error() const;

  /// Takes over what run.h5 holds up to and including `step`; later records are cut (resume), but of a run that ended nothing.
  void resume_at(int64_t step);

  void log(const TrainRow& row);  // also appended to metrics.jsonl
  /// Evaluations and probes are kept until the next `write` or `log`, which also appends them to metrics.jsonl: what was evaluated is stored
  /// whole, or not at all.
  void add(const Evaluation& evaluation);
  /// A named series, one value per evaluation: /probe/<name>, e.g. "layer0/write_rate". `unit` and `help` become attributes.
  void probe(const std::string& name, int64_t step, double value, const std::string& unit, const std::string& help);
  void set_cost(const RunCost& cost);
  /// What the losses of training rows are; before the first of them.
  void set_training_loss(const Metric& metric);
  const RunCost& cost() const;
  const std::vector<TrainRow>& train_rows() const;
  const std::vector<Evaluation>& evaluations() const;

  /// Writes run.h5 (temporary file, fsync, rename). On a full disk: StoreError, the previous file still there.
  void write(const std::string& status, const std::string& error = "");
  /// A line in log.txt with time.
  void note(const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mneme
