// A run folder and its HDF5 file (contract: docs/file-formats.md, section "run.h5").
//
//   results/runs/<run id>/  config.ini · log.txt · metrics.jsonl · checkpoint/ · run.h5 · lock
//
// The store holds the folder's lock (flock on `lock`) as long as it lives: a second process gets a StoreError naming the
// holder's process id. `run.h5` is always written whole to a temporary file and renamed into place.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mneme/options.h"

namespace mneme {

struct TrainRow {
  int64_t step = 0;         // optimizer steps done
  int64_t tokens = 0;       // training tokens seen
  double loss = 0;          // mean over scored positions since the last row, nats
  double lr = 0;
  double grad_norm = 0;     // before clipping
  double tokens_per_s = 0;
  double rss_mib = 0;
};

/// Sums over the rows of one setting (and, where given, one slice of them).
struct EvalSums {
  int64_t rows = 0;         // sequences
  int64_t scored = 0;       // scored positions
  int64_t correct = 0;      // scored positions whose arg max is right
  int64_t exact = 0;        // sequences with all scored positions right
  double loss = 0;          // sum of negative log likelihood over scored positions, nats
  bool operator==(const EvalSums&) const = default;
  EvalSums& operator+=(const EvalSums& more);
};

struct EvalSetting {
  Setting setting;                                   // point of the task's table
  int64_t length = 0;                                // tokens in a row
  EvalSums sums;
  std::map<std::vector<int64_t>, EvalSums> slices;   // by value of the task's row axes; empty without row axes
  std::vector<EvalSums> positions;                   // by position bin; empty unless the task asks for it
  double seconds = 0;
  double tokens_per_s = 0;
  double rss_mib = 0;                                // resident memory after this setting
  double state_bytes = 0;                            // per sequence, after the row's last token
};

struct Evaluation {
  std::string task;                                  // task kind
  std::string split;                                 // "test" or "validation"
  std::string metric;                                // "accuracy", "exact_match" or "loss": the task's own
  double chance = 0;
  int64_t step = 0;
  std::vector<std::string> axes, row_axes;
  std::vector<int64_t> position_edges;               // n+1 edges of n bins, tokens
  std::vector<EvalSetting> settings;
};

struct RunCost {
  int64_t parameters = 0;
  int64_t state_bytes = 0;        // per sequence at the training length
  int64_t training_tokens = 0;
  double tokens_per_s = 0;        // training, median over log rows
  double peak_mib = 0;            // highest resident memory of the process
  double wall_seconds = 0;        // training, over all resumptions
};

/// Where the numbers came from: root attributes of run.h5.
struct RunInfo {
  std::string run_id, config_ini, config_hash, code_version, command_line, libtorch_version, blas, device, cpu_model;
  std::string engine;             // instruction set of the CPU kernels (kernels/dispatch.h); empty in files of before it was recorded
  bool code_dirty = false;
  int64_t seed = 0;
  int64_t threads = 0;
  std::vector<std::pair<std::string, std::string>> values;  // flat config, stored as attributes of /config
};

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

  /// Takes over what run.h5/metrics.jsonl hold up to and including `step`; later records are cut (resume).
  void resume_at(int64_t step);

  void log(const TrainRow& row);                // also appended to metrics.jsonl
  void add(const Evaluation& evaluation);       // also appended to metrics.jsonl
  /// A named series, one value per evaluation: /probe/<name>, e.g. "layer0/write_rate". `unit` and `help` become attributes.
  void probe(const std::string& name, int64_t step, double value, const std::string& unit, const std::string& help);
  void set_cost(const RunCost& cost);
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
