#include "base/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/files.h"
#include "base/text.h"

namespace mneme {

namespace {

constexpr std::chrono::milliseconds kLook{20}, kPatience{500};

enum class Lock { taken, held, none };

/// `kind`: LOCK_EX or LOCK_SH. StoreError for what is none of the three.
Lock try_lock(int file, int kind, const std::string& path) {
  while (::flock(file, kind | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Lock::held;
    if (errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOTSUP || errno == EINVAL) return Lock::none;
    if (errno != EINTR) throw StoreError(fmt::format("cannot lock {}: {}; choose another place", path, std::strerror(errno)));
  }
  return Lock::taken;
}

}  // namespace

bool locks_wanted() {
  const char* given = std::getenv("MNEME_LOCKS");
  const std::string_view value = given ? given : "";
  if (!value.empty() && value != "on" && value != "off") throw UsageError(fmt::format("MNEME_LOCKS = {}: allowed: on, off", value));
  return value != "off";
}

FolderLock::FolderLock(std::string folder) : folder_(std::move(folder)) {
  const std::string path = folder_ + "/lock";
  // Not passed on to child processes: a child that outlives us must not hold the folder.
  OpenFile file = OpenFile::to_write(path);
  Lock lock = Lock::none;
  if (locks_wanted()) {
    for (auto waited = kLook; (lock = try_lock(file.number(), LOCK_EX, path)) == Lock::held && waited < kPatience; waited += kLook)
      std::this_thread::sleep_for(kLook);
    if (lock == Lock::held) {
      const std::string holder = trim(read_file(path));
      throw FolderInUse(fmt::format("{}{}{}; wait for it or stop it, or give this run another folder (run.folder)", folder_, FolderInUse::kWords,
                                    holder.empty() ? "another process" : "process " + holder));
    }
    if (lock == Lock::none)
      throw StoreError(fmt::format("cannot lock {}: this file system has no file locks; have it mounted with them (Lustre: -o flock), put run.folder "
                                   "elsewhere, or set MNEME_LOCKS=off and see to it that no two processes work in one run folder",
                                   path));
  }
  file.replace_with(fmt::format("{} on {}\n", ::getpid(), host_name()), path);
  file_ = file.release();
}

FolderLock::~FolderLock() { ::close(file_); }

void FolderLock::require_folder() const {
  struct stat ours {}, there {};
  if (::fstat(file_, &ours) == 0 && ::stat((folder_ + "/lock").c_str(), &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
    return;
  throw StoreError(folder_ + " was deleted, or the file `lock` in it, while this process worked there: nothing more is stored; the same command "
                             "begins again from what is left");
}

bool folder_in_use(const std::string& folder) {
  if (!locks_wanted()) return false;
  const std::string path = folder + "/lock";
  const OpenFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.number() >= 0 && try_lock(file.number(), LOCK_SH, path) == Lock::held;
}

ReadLock read_lock(const std::string& path) {
  const OpenFile file = OpenFile::to_read(path);
  if (!locks_wanted()) return ReadLock::no_locks;
  const Lock lock = try_lock(file.number(), LOCK_SH, path);
  return lock == Lock::taken ? ReadLock::free : lock == Lock::held ? ReadLock::held : ReadLock::no_locks;
}

}  // namespace mneme
