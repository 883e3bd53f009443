#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "cli/program.h"

#ifdef MNEME_JEMALLOC
// Read by jemalloc when the process starts; MALLOC_CONF in the environment comes after it. Freed blocks stay with the process, and
// all threads share one arena: a block freed by a worker is found by the next step.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:1";
}
#endif

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file at its limit (ulimit -f) is a write that fails, with a message
  const int status = mneme::run_program({argv + 1, argv + argc});
  // Everything is written and closed by now; taking LibTorch down piece by piece would be a quarter of a short command's time.
  std::fflush(nullptr);
  std::cout.flush();
  std::_Exit(status);
}
