// What `mneme stream` found.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "results/run_record.h"

namespace mneme {

/// A stretch of the stream. A question counts where its last scored position lies.
struct StreamBin {
  int64_t first = 0, end = 0;    ///< positions [first, end), tokens
  double seconds = 0;            ///< by the clock
  double processor_seconds = 0;  ///< of all threads: says how fast it would be on a machine without other work
  double rss_mib = 0;            ///< resident memory at its end
  int64_t state_bytes = 0;       ///< what the model carries on, fp32
  EvalSums questions;            ///< `rows` are questions
  std::map<std::vector<int64_t>, EvalSums> slices;  ///< by their values on StreamRecord::axes

  int64_t tokens() const { return end - first; }
  double tokens_per_s() const { return static_cast<double>(tokens()) / seconds; }
  double tokens_per_processor_s() const { return static_cast<double>(tokens()) / processor_seconds; }
  /// Both bins as one; `more` follows. Memory is that at the end.
  StreamBin& operator+=(const StreamBin& more);
};

struct StreamRecord {
  RunInfo info;                           ///< of the checkpoint's config
  std::string status;                     ///< "done", or "interrupted" where it was stopped before its end
  std::string error;                      ///< which answers are not finite, and from which token on; "" = all are
  std::string created_utc, finished_utc;
  std::string checkpoint;                 ///< name of the step folder
  int64_t step = 0;                       ///< optimizer steps of the checkpoint
  std::string task;
  Metric metric = Metric::accuracy;       ///< the task's own
  double chance = 0;
  std::vector<std::string> axes;          ///< by what questions differ, e.g. {"distance"}
  std::vector<StreamBin> bins;            ///< without gaps, from position 0 on

  int64_t tokens() const { return bins.empty() ? 0 : bins.back().end; }
};

/// All bins as one.
StreamBin whole_stream(const StreamRecord& record);
/// Fewer bins for people: those that end at or before the same power of two are one.
std::vector<StreamBin> doubling_bins(const StreamRecord& record);

}  // namespace mneme
