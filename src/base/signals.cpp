#include "base/signals.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "mneme/errors.h"

namespace mneme {
namespace {

// A signal handler reaches nothing but objects of static lifetime, and these without locks.
std::atomic<int> requested = 0;
std::atomic<int64_t> requested_ms = 0;
static_assert(std::atomic<int64_t>::is_always_lock_free);
int guards = 0;

constexpr int64_t kAskedTwice_ms = 3000;

int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

extern "C" void note_signal(int signal) {
  const int error = errno;
  if (note_stop_request(signal)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  errno = error;
}

/// Where reaching the limit of CPU time kills at once, as `ulimit -t` sets it, SIGXCPU is made to come before.
void warn_before_cpu_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CPU, &limit) != 0 || limit.rlim_max == RLIM_INFINITY || limit.rlim_cur < limit.rlim_max || limit.rlim_max < 2) return;
  limit.rlim_cur = limit.rlim_max - std::clamp<rlim_t>(limit.rlim_max / 10, 1, 30);
  ::setrlimit(RLIMIT_CPU, &limit);
}

struct Entry {
  int signal;
  const char* name;
  SignalKind kind;
  const char* meaning;
};

constexpr Entry kSignals[] = {
    {SIGILL, "SIGILL", SignalKind::fault, "illegal instruction"},
    {SIGSEGV, "SIGSEGV", SignalKind::fault, "invalid memory access"},
    {SIGBUS, "SIGBUS", SignalKind::fault, "memory that is not there"},
    {SIGABRT, "SIGABRT", SignalKind::fault, "the program aborted itself"},
    {SIGFPE, "SIGFPE", SignalKind::fault, "invalid arithmetic"},
    {SIGTRAP, "SIGTRAP", SignalKind::fault, "breakpoint"},
    {SIGSYS, "SIGSYS", SignalKind::fault, "forbidden system call"},
    {SIGKILL, "SIGKILL", SignalKind::killed, ""},
    {SIGTERM, "SIGTERM", SignalKind::stop, "asked to stop"},
    {SIGINT, "SIGINT", SignalKind::stop, "asked to stop"},
    {SIGQUIT, "SIGQUIT", SignalKind::stop, "asked to stop"},
    {SIGHUP, "SIGHUP", SignalKind::stop, "asked to stop: the terminal or session ended"},
    {SIGXCPU, "SIGXCPU", SignalKind::stop, "asked to stop: the limit of CPU time was reached"},
    {SIGUSR1, "SIGUSR1", SignalKind::stop, "asked to stop"},
    {SIGUSR2, "SIGUSR2", SignalKind::stop, "asked to stop"},
    {SIGALRM, "SIGALRM", SignalKind::stop, "asked to stop"},
    {SIGPIPE, "SIGPIPE", SignalKind::stop, "who read its output is gone"},
};

Entry entry_of(int signal) {
  for (const Entry& entry : kSignals)
    if (entry.signal == signal) return entry;
  return {signal, nullptr, SignalKind::stop, "asked to stop"};
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guards++ > 0) return;
  requested = 0;
  warn_before_cpu_limit();
  struct sigaction action{};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    sigaction(kStopSignals[i], nullptr, &old_[i]);
    const bool under_nohup = kStopSignals[i] == SIGHUP && old_[i].sa_handler == SIG_IGN;
    if (!under_nohup) sigaction(kStopSignals[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  if (--guards > 0) return;
  for (size_t i = 0; i < kStopSignals.size(); ++i) sigaction(kStopSignals[i], &old_[i], nullptr);
  requested = 0;
}

bool interrupt_requested() { return requested != 0; }

bool note_stop_request(int signal) {
  int none = 0;
  const int64_t now = now_ms();
  if (requested.compare_exchange_strong(none, signal)) requested_ms = now;
  return signal == SIGINT && now - requested_ms >= kAskedTwice_ms;
}

void throw_if_interrupted(const char* what) {
  if (const int signal = requested) throw Interrupted(fmt::format("stopped by {}; {}", signal_name(signal), what));
}

SignalKind signal_kind(int signal) { return entry_of(signal).kind; }

std::string signal_name(int signal) {
  const char* name = entry_of(signal).name;
  return name ? name : fmt::format("signal {}", signal);
}

std::string killed_text(int signal, const std::string& output) {
  const Entry entry = entry_of(signal);
  std::string what;
  if (signal == SIGILL)
    what = fmt::format("illegal instruction: the program was built for, or chose, instructions that this processor does not have; "
                       "run `mneme doctor`, and try MNEME_ISA=generic; its output: {}", output);
  else if (entry.kind == SignalKind::fault)
    what = fmt::format("{}: a fault of the program itself, running it again will most likely do the same; please report it "
                       "with {}", entry.meaning, output);
  else if (entry.kind == SignalKind::killed)
    what = "usually out of memory, or somebody killed it; the same command resumes it, fewer --jobs need less memory";
  else
    what = fmt::format("{}; the same command resumes it", entry.meaning);
  return fmt::format("killed by {} ({})", signal_name(signal), what);
}

}  // namespace mneme
