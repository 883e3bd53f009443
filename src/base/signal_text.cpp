#include "base/signal_text.h"

#include <fmt/format.h>

#include <csignal>

namespace mneme {
namespace {

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
