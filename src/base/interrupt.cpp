#include "base/interrupt.h"

#include <string>

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

}  // namespace mneme
