#include "cli/sweep_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/files.h"
#include "base/folder_lock.h"
#include "base/log.h"
#include "base/provenance.h"
#include "base/signals.h"
#include "base/text.h"
#include "cli/job_pool.h"
#include "cli/run_state.h"
#include "cli/status_line.h"
#include "eval/runtime.h"
#include "mneme/errors.h"
#include "results/run_file.h"
#include "results/run_store.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Kind = SweepOutcome::Kind;

constexpr int64_t kRefreshMs = 1000;
constexpr int kResumable = 75;
constexpr Clock::duration kNoSign = std::chrono::seconds(10);  // so long without a sign of life, a run of another process is left to it
constexpr int64_t kLookMs = 100;                               // how often it is looked at
constexpr int kAlike = 3;  // so many runs that fail alike before any is done: the next would too

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One run of the sweep in this launch.
struct Slot {
  std::string id, folder, output;  // output: stdout and stderr of the child, over all launches
  std::string name;                // short, for the status line
  int64_t steps = 0;
  bool running = false, settled = false;
  Clock::time_point started;
  int64_t first_step = 0;  // where a resumed run began
  std::streamoff output_begin = 0;
  std::string sign;             // of life, of another process that works on it
  Clock::time_point sign_seen;  // when it changed
  bool told = false;            // that another process works on it
};

/// "needle mag_linear seed 2": a status line has little room.
std::string short_name(const SweepRun& run) {
  std::string name;
  for (const auto& [axis, value] : run.labels) name += value + " ";
  return name + (run.tuning ? "lr " + format_number(run.config.train.lr) : fmt::format("seed {}", run.config.run.seed));
}

/// The last message "mneme: …" of this launch in the child's output, with the lines that follow it.
std::string last_message(const Slot& slot) {
  std::ifstream output(slot.output);
  output.seekg(slot.output_begin);
  std::string message, line;
  while (std::getline(output, line)) {
    if (line.rfind("mneme: ", 0) == 0)
      message = line.substr(7);
    else if (!message.empty())
      message += "\n" + line;
  }
  return message;
}

/// What the run itself recorded, else its last message, else how it ended.
std::string failure_text(const Slot& slot, const JobPool::Ended& ended) {
  if (ended.signal != 0) return killed_text(ended.signal, slot.output);
  const RunState state = read_run_state(slot.folder);
  if ((state.failed() || state.finished()) && !state.error.empty()) return state.error;
  const std::string message = last_message(slot);
  if (!message.empty()) return message;
  if (ended.exit_status == JobPool::kExecFailed)
    return fmt::format("could not be started: is the program, or LibTorch, being installed anew? The same command tries again; see {}", slot.output);
  return fmt::format("exit status {}; see {}", ended.exit_status, slot.output);
}

/// `text` without the run's own name, so that runs that failed alike say the same.
std::string without_name(std::string text, const std::string& id) {
  for (size_t at; (at = text.find(id)) != std::string::npos;) text.erase(at, id.size());
  return text;
}

class SweepRunner {
 public:
  SweepRunner(const std::vector<SweepRun>& runs, const SweepOptions& options, std::string phase)
      : runs_(runs),
        options_(options),
        phase_(std::move(phase)),
        status_(options.quiet),
        pool_(options.jobs, options.threads_per_job),
        slots_(runs.size()),
        outcomes_(runs.size()) {
    for (size_t i = 0; i < runs.size(); ++i) {
      const std::string folder = (fs::path(runs[i].config.run.folder) / runs[i].id).string();
      slots_[i].id = outcomes_[i].id = runs[i].id;
      slots_[i].folder = folder;
      slots_[i].output = folder + "/output.txt";
      slots_[i].name = short_name(runs[i]);
      slots_[i].steps = runs[i].config.train.steps;
    }
  }

  std::vector<SweepOutcome> run() {
    if (const std::string crowded = crowding(runs_, options_); !crowded.empty()) status_.keep("note: " + crowded);
    size_t next = 0;
    while (true) {
      while (next < runs_.size() && !pool_.full() && may_start()) begin(next++);
      if (next == runs_.size()) look_at_others();
      if (pool_.empty() && (!may_start() || (next == runs_.size() && others_.empty()))) break;
      if (const auto ended = pool_.wait(others_.empty() ? kRefreshMs : kLookMs)) end(*ended);
      if (!pool_.empty()) status_.show(status());
    }
    for (size_t i = 0; i < runs_.size(); ++i)
      if (!slots_[i].settled) stopped() ? settle(i, Kind::not_started, alike_text()) : settle(i, Kind::interrupted);
    if (other_version_ > 0)
      status_.keep(
          fmt::format("note: {} of the finished runs were made by another code version than this one ({}); remove "
                      "their folders to make them anew",
                      other_version_, code_version()));
    return std::move(outcomes_);
  }

 private:
  /// The first runs all failed alike and nothing is done: the next would fail too.
  bool stopped() const { return !options_.keep_going && !varied_ && alike_ >= kAlike; }

  bool may_start() const { return !interrupt_requested() && !stopped(); }

  std::string alike_text() const { return fmt::format("the first {} runs all failed alike: {}", alike_, first_error_); }

  /// `cause` is the same for runs that failed alike.
  void note_failure(const std::string& error, const std::string& cause) {
    if (alike_ == 0) first_error_ = error, first_cause_ = cause;
    if (cause != first_cause_) varied_ = true;
    if (++alike_ != kAlike || varied_) return;
    varied_ = std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return read_run_state(slot.folder).finished(); });
    if (stopped() && !pool_.empty())
      status_.keep(phase_ + alike_text() + "; no more are started unless one that still runs does better (--keep-going starts them)");
  }

  void settle(size_t i, Kind kind, const std::string& error = "", bool earlier = false) {
    outcomes_[i].kind = kind;
    outcomes_[i].error = error;
    outcomes_[i].earlier = earlier;
    slots_[i].settled = true;
    ++settled_;
  }

  void keep(size_t i, const std::string& what) {
    status_.keep(fmt::format("{}[{}/{}] {} {}", phase_, settled_, runs_.size(), slots_[i].id, what));
  }

  /// Starts run i, or settles it when there is nothing to do, or waits for another process that works on it.
  void begin(size_t i) try {
    make_folders(runs_[i].config.run.folder);
    const bool claimed = fs::create_directory(slots_[i].folder);  // true for one process only
    const RunState state = claimed ? RunState{} : read_run_state(slots_[i].folder);
    if (state.finished()) {
      if (state.code_version != code_version()) ++other_version_;
      varied_ = true;
      settle(i, state.error.empty() ? Kind::done : Kind::failed, state.error, true);
      return state.error.empty() ? void() : keep(i, "done in an earlier launch, but " + state.error);
    }
    if (!claimed && folder_in_use(slots_[i].folder)) return wait_for_other(i);
    if (state.unreadable()) throw StoreError(state.error);
    if (state.status == "diverged" || (state.status == "failed" && !options_.retry_failed)) {
      settle(i, Kind::failed, state.error, true);
      const bool again = state.status == "failed";  // a diverged run would diverge again
      return keep(i, state.status + " in an earlier launch" + (again ? " (--retry-failed tries again)" : ""));
    }
    start(i);
  } catch (const StoreError& error) {  // a full disk, a file that others hold: the others may fare better
    settle(i, Kind::failed, error.what());
    keep(i, std::string("not started: ") + error.what());
    note_failure(error.what(), without_name(error.what(), slots_[i].id));
  }

  void start(size_t i) {
    Slot& slot = slots_[i];
    // Where it stands already, whoever holds the folder may be writing.
    const std::string config = slot.folder + "/config.ini", text = run_config(canonical_ini(runs_[i].config));
    if (!fs::exists(config) || read_file(config) != text) atomic_write(config, text);
    if (pool_.program_replaced() && !std::exchange(replacement_told_, true))
      status_.keep("note: the program was built anew, moved or deleted: the runs of this launch go on with the one that it began with");
    std::error_code no_file;
    slot.output_begin = fs::exists(slot.output) ? static_cast<std::streamoff>(fs::file_size(slot.output, no_file)) : 0;
    slot.started = Clock::now();
    slot.first_step = read_run_progress(slot.folder).step;
    pool_.start(i, {"run", slot.folder, "--quiet"}, slot.output);
    slot.running = true;
  }

  void wait_for_other(size_t i) {
    others_.push_back(i);
    slots_[i].sign = sign_of_life(slots_[i].folder);
    slots_[i].sign_seen = Clock::now();
    if (!std::exchange(slots_[i].told, true)) keep(i, "is run by another process: waiting for it");
  }

  /// Something that changes while a run goes on.
  static std::string sign_of_life(const std::string& folder) {
    std::string sign;
    for (const char* file : {"/metrics.jsonl", "/output.txt", "/log.txt", "/lock"}) {
      std::error_code missing;
      const auto size = fs::file_size(folder + file, missing);
      sign += fmt::format("{} {};", size, fs::last_write_time(folder + file, missing).time_since_epoch().count());
    }
    return sign;
  }

  /// The runs of other processes: those that are free now are begun here, or done; those that do not move are left alone.
  void look_at_others() {
    for (size_t i : std::exchange(others_, {})) {
      Slot& slot = slots_[i];
      const bool in_use = folder_in_use(slot.folder);
      if (!in_use && !pool_.full() && may_start()) {
        begin(i);
        continue;
      }
      const std::string sign = sign_of_life(slot.folder);
      if (!in_use || sign != std::exchange(slot.sign, sign)) slot.sign_seen = Clock::now();
      if (Clock::now() - slot.sign_seen < kNoSign) {
        others_.push_back(i);
        continue;
      }
      settle(i, Kind::in_use);
      keep(i, "is run by another process, which shows no progress: left to it");
    }
  }

  void end(const JobPool::Ended& ended) {
    const size_t i = ended.job;
    Slot& slot = slots_[i];
    slot.running = false;
    const std::string took = duration_text(seconds_since(slot.started));
    if (ended.exit_status == 0) {
      steps_done_ += std::max<int64_t>(0, slot.steps - slot.first_step);
      settle(i, Kind::done);
      varied_ = true;
      return keep(i, "done in " + took + test_result(i));
    }
    const bool by_signal = ended.signal != 0;
    const SignalKind kind = signal_kind(ended.signal);
    if (by_signal && kind != SignalKind::fault && interrupt_requested()) return settle(i, Kind::interrupted);
    if (ended.exit_status == kResumable) {
      if (interrupt_requested()) return settle(i, Kind::interrupted);
      settle(i, Kind::interrupted, last_message(slot));  // somebody stopped this run alone
      return keep(i, fmt::format("interrupted after {}: {}", took, outcomes_[i].error));
    }
    const RunState state = read_run_state(slot.folder);
    if (!by_signal && state.finished() && state.error.empty()) {  // by another launch, which was first
      settle(i, Kind::done, "", true);
      varied_ = true;
      return keep(i, "done by another process");
    }
    const std::string error = failure_text(slot, ended);
    if (!by_signal && error.find(FolderInUse::kWords) != std::string::npos) return wait_for_other(i);
    if (by_signal && kind == SignalKind::stop) {
      settle(i, Kind::interrupted, error);
      return keep(i, fmt::format("interrupted after {}: {}", took, error));
    }
    settle(i, Kind::failed, error);
    keep(i, fmt::format("failed after {}: {}", took, error));
    // To diverge is a result, and SIGKILL comes from elsewhere: neither says anything about the next run.
    if (by_signal ? kind == SignalKind::fault : state.status != "diverged" && !state.finished())
      note_failure(error, by_signal ? signal_name(ended.signal) : without_name(error, slot.id));
    else
      varied_ = true;
  }

  /// ": test exact_match 98.4 %", the mean over the settings.
  std::string test_result(size_t i) const {
    try {
      const RunRecord record = read_run(slots_[i].folder);
      const Evaluation* evaluation = record.last_evaluation(runs_[i].config.task.kind, "test");
      return evaluation ? ": test " + evaluation->text() : "";
    } catch (const Error& error) {
      return std::string(": ") + error.what();
    }
  }

  std::string status() const {
    std::string text;
    int64_t steps_done = steps_done_;
    for (const Slot& slot : slots_) {
      if (!slot.running) continue;
      const RunProgress progress = read_run_progress(slot.folder);
      steps_done += std::max<int64_t>(0, progress.step - slot.first_step);
      text += fmt::format(" · {} {}/{}", slot.name, progress.step, slot.steps);
      if (progress.settings > 0) text += " " + progress.metric.text(progress.value);
    }
    return fmt::format("{}[{}/{}]{}{}", phase_, settled_, runs_.size(), time_left(steps_done), text);
  }

  /// From the steps done in this launch; what was done before took none of its time.
  std::string time_left(int64_t steps_done) const {
    if (steps_done <= 0) return "";
    int64_t steps_left = steps_done_ - steps_done;
    for (const Slot& slot : slots_)
      if (!slot.settled) steps_left += slot.steps - slot.first_step;
    const double rate = static_cast<double>(steps_done) / seconds_since(begin_);
    return fmt::format(" about {} left", duration_text(static_cast<double>(std::max<int64_t>(0, steps_left)) / rate));
  }

  const std::vector<SweepRun>& runs_;
  const SweepOptions& options_;
  const std::string phase_;
  StatusLine status_;
  JobPool pool_;
  std::vector<Slot> slots_;
  std::vector<SweepOutcome> outcomes_;
  std::vector<size_t> others_;  // runs that another process works on
  bool replacement_told_ = false;
  size_t settled_ = 0;
  int64_t steps_done_ = 0;  // by runs that ended in this launch
  int64_t other_version_ = 0;
  int alike_ = 0;        // runs of this launch that failed
  bool varied_ = false;  // not all of them alike, or a run is done: the others are worth starting
  std::string first_error_, first_cause_;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace

std::string crowding(const std::vector<SweepRun>& runs, const SweepOptions& options) {
  int64_t threads = options.threads_per_job;
  for (const SweepRun& run : runs) threads = std::max(threads, run.config.runtime.threads);
  return crowding(std::min(options.jobs, static_cast<int64_t>(runs.size())), threads);
}

std::vector<SweepOutcome> run_all(const std::vector<SweepRun>& runs, const SweepOptions& options,
                                  const std::string& phase) {
  return SweepRunner(runs, options, phase).run();
}

}  // namespace mneme
