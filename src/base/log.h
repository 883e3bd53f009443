// What a person sees while the program works, on stderr; results go to stdout. On a terminal progress is one line that is
// rewritten; elsewhere (a file, a pipe, Slurm's log) it is a plain line every few seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace mneme {

struct Progress {
  int64_t step = 0;
  int64_t steps = 0;         // of the whole training
  double loss = 0;
  double tokens_per_s = 0;
  std::string note;          // e.g. "validation 93.1 %"
};

/// "step 120/500  loss 1.2345  8.3k tokens/s  ETA 1:05"; `seconds_left` < 0 = not known yet.
std::string progress_line(const Progress& progress, double seconds_left);

/// "42 s", "1:05", "2:03:09"
std::string duration_text(double seconds);

class Log {
 public:
  explicit Log(bool quiet = false, std::FILE* stream = stderr);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void info(const std::string& line);
  /// Also with --quiet.
  void warn(const std::string& line);
  /// Throttled: call it every step. The last step is always shown.
  void progress(const Progress& progress);

 private:
  using Clock = std::chrono::steady_clock;
  void clear_status();
  double seconds_left(const Progress& progress);

  std::FILE* stream_;
  bool quiet_, terminal_;
  bool status_shown_ = false;
  Clock::time_point shown_{};
  int64_t last_step_ = -1, first_step_ = 0;  // of this training, for the time left
  Clock::time_point first_time_{};
};

}  // namespace mneme
