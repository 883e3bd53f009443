#include "cli/job_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "mneme/errors.h"

namespace mneme {
namespace {

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    bool changed = false;
    for (const auto& [name, value] : changes) changed = changed || text.rfind(name + "=", 0) == 0;
    if (!changed) result.push_back(text);
  }
  for (const auto& [name, value] : changes) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::string own_program() {
  std::string path(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) throw Error(fmt::format("cannot find this program's own file: {}", std::strerror(errno)));
  path.resize(static_cast<size_t>(length));
  return path;
}

}  // namespace

JobPool::JobPool(int64_t jobs, int64_t threads_per_job) : jobs_(jobs) {
  const std::string threads = std::to_string(threads_per_job);
  std::vector<std::pair<std::string, std::string>> changes{{"OMP_NUM_THREADS", threads}, {"MKL_NUM_THREADS", threads}};
  // Spinning OpenMP threads of several processes starve each other.
  if (jobs > 1) changes.push_back({"OMP_WAIT_POLICY", "PASSIVE"});
  environment_ = environment_with(changes);
  sigemptyset(&awaited_);
  for (int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&awaited_, signal);
  ::sigprocmask(SIG_BLOCK, &awaited_, &before_);
}

JobPool::~JobPool() {
  for (const auto& [process, job] : running_) ::kill(process, SIGKILL);
  for (const auto& [process, job] : running_) ::waitpid(process, nullptr, 0);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void JobPool::start(size_t job, const std::vector<std::string>& arguments, const std::string& output) {
  const std::string program = own_program();
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::vector<char*> argv = pointers(words), environment = pointers(environment_);
  const int log = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) throw StoreError(fmt::format("cannot write {}: {}", output, std::strerror(errno)));
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process == 0) {  // only async-signal-safe calls from here to exec
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kExecFailed);  // it died before we asked to be told
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    ::execve(argv[0], argv.data(), environment.data());
    ::_exit(kExecFailed);
  }
  const int error = errno;
  ::close(log);
  if (process < 0) throw Error(fmt::format("cannot start a process: {}", std::strerror(error)));
  running_[process] = job;
}

std::optional<JobPool::Ended> JobPool::wait(int64_t milliseconds) {
  if (auto ended = reap()) return ended;
  timespec time{};
  time.tv_sec = milliseconds / 1000;
  time.tv_nsec = milliseconds % 1000 * 1000000;
  const int signal = ::sigtimedwait(&awaited_, nullptr, &time);
  if (signal == SIGINT || signal == SIGTERM) pass_on(signal);
  return reap();
}

std::optional<JobPool::Ended> JobPool::reap() {
  int status = 0;
  const pid_t process = ::waitpid(-1, &status, WNOHANG);
  if (process <= 0) return std::nullopt;
  const auto found = running_.find(process);
  if (found == running_.end()) return std::nullopt;
  const Ended result{found->second, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0};
  running_.erase(found);
  return result;
}

void JobPool::pass_on(int signal) {
  ++signals_;
  for (const auto& [process, job] : running_) ::kill(process, signals_ == 1 ? signal : SIGKILL);
}

}  // namespace mneme
