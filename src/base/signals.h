// Signals: requests to stop, noted and honoured at the next safe point, and what it means for a user that a process was ended by one.
#pragma once

#include <array>
#include <csignal>
#include <string>

namespace mneme {

/// Requests to stop: of a person, a terminal that is closed, a scheduler, the limit of CPU time.
constexpr std::array<int, 6> kStopSignals{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

/// While it lives, they are noted instead of ending the process. Schedulers send several, a warning before the limit and one at it, to a
/// job's steps and to what launched them: further ones change nothing. Only a person means it by asking twice: a second SIGINT, three seconds
/// after the first request or later, ends the process. Guards nest: what came during an outer one stays noted. SIGHUP stays ignored under
/// nohup. A limit of CPU time that kills without a warning (ulimit -t) warns a little earlier, by SIGXCPU.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  std::array<struct sigaction, kStopSignals.size()> old_{};
};

bool interrupt_requested();

/// What the guard does with a signal, for who receives it by other means. True: the process is to end at once.
bool note_stop_request(int signal);

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
