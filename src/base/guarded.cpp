#include "base/guarded.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <optional>

#include "base/signals.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

constexpr char kFound = '+', kRefused = '-';  // the first byte that comes back
constexpr int kClockOverProcessor = 60;                 // by the clock, for one unit of processor time: of a busy machine

size_t address_space() {
  long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return static_cast<size_t>(pages) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

void limit_this_process(const GuardLimits& limits) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  if (const size_t now = address_space()) {
    const rlimit memory{now + limits.bytes, now + limits.bytes};
    ::setrlimit(RLIMIT_AS, &memory);
  }
  for (const int signal : {SIGPROF, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) ::signal(signal, SIG_DFL);
  const double whole = std::floor(limits.processor_seconds);
  const itimerval time{{0, 0}, {static_cast<time_t>(whole), static_cast<suseconds_t>((limits.processor_seconds - whole) * 1e6)}};
  ::setitimer(ITIMER_PROF, &time, nullptr);
  const int nothing = ::open("/dev/null", O_WRONLY);  // what libraries say before they abort
  ::dup2(nothing, STDOUT_FILENO);
  ::dup2(nothing, STDERR_FILENO);
}

[[noreturn]] void work_and_end(const GuardLimits& limits, const std::function<std::string()>& work, int out) {
  limit_this_process(limits);
  std::string answer;
  try {
    answer = kFound + work();
  } catch (const std::bad_alloc&) {
    ::_exit(ENOMEM);
  } catch (const std::length_error&) {
    ::_exit(ENOMEM);
  } catch (const std::exception& error) {
    answer = kRefused + std::string(error.what());
  } catch (...) {
    ::_exit(EINVAL);
  }
  for (size_t done = 0; done < answer.size();) {
    const ssize_t count = ::write(out, answer.data() + done, answer.size() - done);
    if (count < 0 && errno != EINTR) ::_exit(errno);
    if (count > 0) done += static_cast<size_t>(count);
  }
  ::_exit(0);
}

/// Everything up to the end; nothing where the time is over before it.
std::optional<std::string> read_to_end(int file, double seconds) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
  std::string bytes;
  char block[1 << 16];
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waiting{file, POLLIN, 0};
    const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    const ssize_t count = ::read(file, block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return bytes;
    bytes.append(block, static_cast<size_t>(count));
  }
}

std::string how_it_ended(int status, const GuardLimits& limits, bool in_time) {
  if (!in_time || (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.3g", limits.processor_seconds);
    return std::string("takes more than ") + seconds + " s to read";
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == ENOMEM) return "needs more than " + std::to_string(limits.bytes >> 20) + " MiB to read";
  return "cannot be read" + (WIFSIGNALED(status) ? " (its library crashes on it: " + signal_name(WTERMSIG(status)) + ")" : std::string());
}

}  // namespace

std::string guarded(const std::string& what, const GuardLimits& limits, const std::function<std::string()>& work) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) throw Error(std::string("cannot make a pipe: ") + std::strerror(errno));
  const pid_t process = ::fork();
  if (process == 0) {
    ::close(pipe[0]);
    work_and_end(limits, work, pipe[1]);
  }
  const int error = errno;
  ::close(pipe[1]);
  if (process < 0) {
    ::close(pipe[0]);
    throw Error(std::string("cannot start a process: ") + std::strerror(error));
  }
  const std::optional<std::string> answer = read_to_end(pipe[0], kClockOverProcessor * limits.processor_seconds);
  ::close(pipe[0]);
  if (!answer) ::kill(process, SIGKILL);
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  const bool ended_well = answer && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !answer->empty();
  if (!ended_well) throw DataError(what + ": " + how_it_ended(status, limits, answer.has_value()) + ": it was damaged");
  if (answer->front() == kRefused) throw DataError(answer->substr(1));
  return answer->substr(1);
}

}  // namespace mneme
