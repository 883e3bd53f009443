#include "cli/job_pool.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>

#include "base/signals.h"
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

/// The dynamic loader takes a library that is loaded already for every one of its name.
std::vector<std::string> with_preloaded(std::vector<std::string> variables, const std::string& library) {
  constexpr std::string_view kName = "LD_PRELOAD=";
  const auto given = std::find_if(variables.begin(), variables.end(), [&](const std::string& text) { return text.starts_with(kName); });
  if (given == variables.end()) variables.push_back(std::string(kName) + library);
  else *given += " " + library;
  return variables;
}

std::string own_program() {
  std::string path(4096, '\0');
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  if (length < 0) throw Error(fmt::format("cannot find this program's own file: {}", std::strerror(errno)));
  path.resize(static_cast<size_t>(length));
  return path;
}

/// Where this code was loaded from: libmneme.so, or the program itself where it is one file.
std::string own_library() {
  Dl_info info{};
  return ::dladdr(reinterpret_cast<void*>(&own_program), &info) && info.dli_fname ? info.dli_fname : own_program();
}

}  // namespace

JobPool::Image::Image(std::string its_path) : path(std::move(its_path)), file(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

JobPool::Image::~Image() {
  if (file >= 0) ::close(file);
}

bool JobPool::Image::is_there() const {
  struct stat ours {}, there {};
  return file < 0 || (::fstat(file, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino);
}

std::string JobPool::Image::opened() const { return fmt::format("/proc/self/fd/{}", file); }

bool JobPool::program_replaced() const { return !program_.is_there() || !library_.is_there(); }

JobPool::JobPool(int64_t jobs, int64_t threads_per_job) : jobs_(jobs), program_(own_program()), library_(own_library()) {
  const std::string threads = std::to_string(threads_per_job);
  std::vector<std::pair<std::string, std::string>> changes{{"OMP_NUM_THREADS", threads}, {"MKL_NUM_THREADS", threads}};
  // Spinning OpenMP threads of several processes starve each other.
  if (jobs > 1) changes.push_back({"OMP_WAIT_POLICY", "PASSIVE"});
  environment_ = environment_with(changes);
  sigemptyset(&awaited_);
  sigaddset(&awaited_, SIGCHLD);
  for (int signal : kStopSignals) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&awaited_, signal);  // ignored, as nohup has SIGHUP, it stays so; blocked, it would wait for us
  }
  ::sigprocmask(SIG_BLOCK, &awaited_, &before_);
}

JobPool::~JobPool() {
  for (const auto& [process, job] : running_) ::kill(process, SIGKILL);
  for (const auto& [process, job] : running_) ::waitpid(process, nullptr, 0);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void JobPool::start(size_t job, const std::vector<std::string>& arguments, const std::string& output) {
  std::vector<std::string> words{program_.path}, variables = environment_;
  words.insert(words.end(), arguments.begin(), arguments.end());
  const bool replaced = program_replaced();
  if (replaced && library_.path != program_.path) variables = with_preloaded(variables, library_.opened());
  const std::string program = replaced ? program_.opened() : program_.path;
  const std::vector<char*> argv = pointers(words), environment = pointers(variables);
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
    if (replaced) {
      ::fcntl(program_.file, F_SETFD, 0);
      ::fcntl(library_.file, F_SETFD, 0);
    }
    ::execve(program.c_str(), argv.data(), environment.data());
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
  if (signal > 0 && signal != SIGCHLD) pass_on(signal);
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
  const bool at_once = note_stop_request(signal);
  for (const auto& [process, job] : running_) ::kill(process, at_once ? SIGKILL : signal);
}

}  // namespace mneme
