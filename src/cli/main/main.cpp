#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/signals.h"
#include "cli/program.h"

#ifdef MNEME_JEMALLOC
// Read by jemalloc when the process starts; MALLOC_CONF in the environment comes after it. Freed blocks stay with the process, and
// all threads share one arena: a block freed by a worker is found by the next step.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:1";
}
#endif

namespace {

/// What a launcher may have left otherwise: descriptors 0 to 2 closed, so that a file of ours would be what is printed to; SIGCHLD ignored, so
/// that nobody hears of a child's end; requests to stop blocked.
void as_a_process_expects() {
  int file = 0;
  while ((file = ::open("/dev/null", O_RDWR)) >= 0 && file <= STDERR_FILENO) continue;
  if (file > STDERR_FILENO) ::close(file);
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGXFSZ, SIG_IGN);  // a file at its limit (ulimit -f) is a write that fails, with a message
  sigset_t heard;
  sigemptyset(&heard);
  for (const int signal : mneme::kStopSignals) sigaddset(&heard, signal);
  sigaddset(&heard, SIGPROF);  // the limit of a guarded reader
  ::sigprocmask(SIG_UNBLOCK, &heard, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  as_a_process_expects();
  const int status = mneme::run_program({argv + 1, argv + argc});
  // Everything is written and closed by now; taking LibTorch down piece by piece would be a quarter of a short command's time.
  std::fflush(nullptr);
  std::cout.flush();
  std::_Exit(status);
}
