#include "base/signals.h"

#include <fmt/format.h>

#include <csignal>

#include "mneme/errors.h"

namespace mneme {
namespace {

// A signal handler reaches nothing but objects of static lifetime.
volatile std::sig_atomic_t requested = 0;
int guards = 0;

extern "C" void note_signal(int signal) {
  if (requested) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  requested = signal;
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
  struct sigaction action{};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

InterruptGuard::~InterruptGuard() {
  if (--guards > 0) return;
  sigaction(SIGINT, &old_int_, nullptr);
  sigaction(SIGTERM, &old_term_, nullptr);
  requested = 0;
}

bool interrupt_requested() { return requested != 0; }

void throw_if_interrupted(const char* what) {
  if (requested)
    throw Interrupted(std::string(requested == SIGTERM ? "stopped by SIGTERM; " : "stopped by SIGINT; ") + what);
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
