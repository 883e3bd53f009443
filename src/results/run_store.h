// A run folder and its HDF5 file (contract: docs/file-formats.md, section "run.h5").
//
//   results/runs/<run id>/  config.ini · log.txt · metrics.jsonl · checkpoint/ · run.h5 · lock
//
// The store holds the folder's lock (flock on `lock`) as long as it lives: a second process gets a StoreError naming the
// holder's process id. `run.h5` is always written whole to a temporary file and renamed into place.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "results/run_record.h"

namespace mneme {

class RunStore {
 public:
  /// Opens or makes `folder` and takes its lock. Throws StoreError (in use; not writable; holds a run of another config hash).
  RunStore(std::string folder, RunInfo info);
  ~RunStore();
  RunStore(const RunStore&) = delete;

  const std::string& folder() const;
  std::string checkpoint_folder() const;
  /// Status in an existing run.h5 ("running", "done", "failed", "diverged"), or "" where there is none.
  std::string previous_status() const;
  std::string previous_code_version() const;
  std::string previous_error() const;

  /// Takes over what run.h5/metrics.jsonl hold up to and including `step`; later records are cut (resume).
  void resume_at(int64_t step);

  void log(const TrainRow& row);                // also appended to metrics.jsonl
  void add(const Evaluation& evaluation);       // also appended to metrics.jsonl
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
