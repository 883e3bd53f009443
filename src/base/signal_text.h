// What it means for a user that a process was ended by a signal.
#pragma once

#include <string>

namespace mneme {

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
