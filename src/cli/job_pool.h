// Child processes of this program with a thread budget, a few at a time.
//
// Each child is the program itself with other arguments, in a process group of its own, so that a Ctrl-C on the
// terminal reaches it once, through us. OpenMP reads its thread count before main, so the budget is in the environment
// that the child starts with. If we die, however we die, the children get SIGTERM and stop at a checkpoint.
//
// The program may be built anew, moved or deleted meanwhile: children are what we are, this program and its library as they were opened at the
// start, so that all runs of a sweep are of one code version.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mneme {

class JobPool {
 public:
  static constexpr int kExecFailed = 127;  // exit status of a child that never became the program

  struct Ended {
    size_t job;       // as given to `start`
    int exit_status;  // of the process, −1 when a signal ended it
    int signal;       // that ended it, or 0
  };

  /// Blocks kStopSignals and SIGCHLD for its lifetime: `wait` receives them. Inside an InterruptGuard.
  JobPool(int64_t jobs, int64_t threads_per_job);
  ~JobPool();  // kills what still runs
  JobPool(const JobPool&) = delete;

  bool full() const { return running_.size() >= static_cast<size_t>(jobs_); }
  bool empty() const { return running_.empty(); }
  /// This program's file is another one than at the start, or gone.
  bool program_replaced() const;

  /// Starts `mneme arguments…`; its stdout and stderr are appended to the file `output`.
  void start(size_t job, const std::vector<std::string>& arguments, const std::string& output);
  /// A child that ended, or nothing after `milliseconds` or a signal.
  std::optional<Ended> wait(int64_t milliseconds);

 private:
  std::optional<Ended> reap();
  void pass_on(int signal);

  /// A file of ours: where it was, and what it is.
  struct Image {
    std::string path;
    int file = -1;
    explicit Image(std::string path);
    ~Image();
    Image(const Image&) = delete;
    bool is_there() const;
    std::string opened() const;  // a path that a child can open it by
  };

  int64_t jobs_;
  Image program_, library_;
  std::vector<std::string> environment_;
  sigset_t awaited_, before_;
  std::map<pid_t, size_t> running_;
};

}  // namespace mneme
