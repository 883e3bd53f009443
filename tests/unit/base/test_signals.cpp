#include "base/signals.h"

#include <csignal>
#include <string>

#include "tests/support/test.h"

using namespace mneme;

TEST_CASE("a signal is told by name and meaning, and only what is no fault resumes", "[core][signal]") {
  for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGTRAP, SIGSYS}) {
    const std::string text = killed_text(signal, "runs/a/output.txt");
    CAPTURE(text);
    CHECK(signal_kind(signal) == SignalKind::fault);
    CHECK(text.rfind("killed by SIG", 0) == 0);
    CHECK(text.find("resumes") == std::string::npos);
    CHECK(text.find("runs/a/output.txt") != std::string::npos);
  }
  for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1, SIGRTMIN}) {
    const std::string text = killed_text(signal, "runs/a/output.txt");
    CAPTURE(text);
    CHECK(signal_kind(signal) == (signal == SIGKILL ? SignalKind::killed : SignalKind::stop));
    CHECK(text.find("the same command resumes it") != std::string::npos);
  }
  CHECK(killed_text(SIGILL, "").find("MNEME_ISA=generic") != std::string::npos);
  CHECK(signal_name(SIGXCPU) == "SIGXCPU");
  CHECK(signal_name(SIGRTMAX) == "signal " + std::to_string(SIGRTMAX));
}

TEST_CASE("every request to stop is noted, and only Ctrl-C after a while means at once", "[core][signal]") {
  for (const int signal : kStopSignals) {
    CAPTURE(signal_name(signal));
    CHECK(signal_kind(signal) == SignalKind::stop);
    const InterruptGuard guard;
    CHECK(!interrupt_requested());
    for (const int each : {signal, SIGTERM, SIGINT, signal}) std::raise(each);
    CHECK(interrupt_requested());
    CHECK_THROWS_WITH(throw_if_interrupted("x"), "stopped by " + signal_name(signal) + "; x");
    CHECK(!note_stop_request(SIGINT));
  }
  CHECK(!interrupt_requested());
}
