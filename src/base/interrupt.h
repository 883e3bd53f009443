// SIGINT and SIGTERM as a request that is honoured at the next safe point.
#pragma once

#include <csignal>

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

}  // namespace mneme
