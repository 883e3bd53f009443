// Signals: SIGINT and SIGTERM as a request that is honoured at the next safe point, and what it means for a user that a process was ended
// by one.
#pragma once

#include <csignal>
#include <string>

namespace mneme {

/// While it lives, the first SIGINT or SIGTERM is noted instead of ending the process; a second one ends it as usual.
/// Guards nest: what came during an outer one stays noted.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction old_int_{}, old_term_{};
};

bool interrupt_requested();

/// Throws Interrupted when a signal came; the message ends "; `what`".
void throw_if_interrupted(const char* what);

enum class SignalKind {
  fault,   // SIGILL, SIGSEGV, …: of the program itself; run again, it most likely does the same
  killed,  // SIGKILL: without a chance to say why
  stop,    // any other: a request to stop
};

SignalKind signal_kind(int signal);

/// "SIGSEGV"; "signal 40" where there is no name.
std::string signal_name(int signal);

/// "killed by SIGSEGV (…)": name, meaning and what to do. `output` is the file with what the process printed. Only what is
/// no fault is said to be resumed by the same command.
std::string killed_text(int signal, const std::string& output);

}  // namespace mneme
