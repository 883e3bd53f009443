#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

namespace fs = std::filesystem;

/// What a person can do about it.
const char* advice(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "free some space and run the same command again";
    case EACCES:
    case EPERM:
    case EROFS: return "choose a place you may write to, or change its permissions";
    case ENOENT: return "make its folder first, or choose another place";
    case ENOTDIR:
    case EEXIST: return "a file stands where a folder is needed; choose another name";
    case ENAMETOOLONG: return "choose a shorter name";
    default: return "choose another place";
  }
}

[[noreturn]] void fail_read(const std::string& path) {
  const int error = errno;
  auto fix = [&] {
    switch (error) {
      case ENOENT:
      case ENOTDIR: return "check the path";
      case EACCES: return "change its permissions, or name another file";
      case EISDIR: return "name a file in it";
      default: return "name another file";
    }
  };
  throw DataError("cannot read " + path + ": " + std::strerror(error) + "; " + fix());
}

[[noreturn]] void fail(const std::string& what, const std::string& path, int error = errno) {
  throw StoreError("cannot " + what + " " + path + ": " + std::strerror(error) + "; " + advice(error));
}

/// An open file that closes itself.
struct Descriptor {
  int number = -1;
  explicit Descriptor(int opened_file) : number(opened_file) {}
  Descriptor(Descriptor&& other) noexcept : number(std::exchange(other.number, -1)) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  int close() {
    const int result = ::close(number);
    number = -1;
    return result;
  }
};

/// 0 or the error.
int write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written == 0 ? ENOSPC : errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

/// A rename survives a power cut once its folder is on the disk.
void sync_folder(const std::string& path) {
  const Descriptor folder{::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (folder.number >= 0) ::fsync(folder.number);
}

}  // namespace

namespace {

/// Opened for reading, a regular file; a pipe that nobody writes into must not wait.
Descriptor opened(const std::string& path, size_t& size) {
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status;
  if (file.number < 0 || ::fstat(file.number, &status) != 0) fail_read(path);
  if (S_ISDIR(status.st_mode)) errno = EISDIR, fail_read(path);
  if (!S_ISREG(status.st_mode)) throw DataError("cannot read " + path + ": it is a device or a pipe; name a file");
  size = static_cast<size_t>(status.st_size);
  return file;
}

}  // namespace

size_t require_file(const std::string& path) {
  size_t size = 0;
  opened(path, size);
  return size;
}

std::string read_file(const std::string& path, size_t most) {
  size_t size = 0;
  const Descriptor file = opened(path, size);
  const auto require_small = [&](size_t bytes) {
    if (bytes > most)
      throw DataError("cannot read " + path + ": it has more than " + std::to_string(most) + " bytes, and such a file has not; name another file");
  };
  require_small(size);
  std::string bytes;
  bytes.reserve(size);
  char block[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.number, block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_read(path);
    if (count == 0) return bytes;
    bytes.append(block, static_cast<size_t>(count));
    require_small(bytes.size());
  }
}

void make_folders(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder)) fail("make the folder", folder, error ? error.value() : ENOTDIR);
}

std::string write_target(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the system
  fs::path target = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == kMostLinks) fail("write", path, ELOOP);
    const fs::path next = fs::read_symlink(target, error);
    if (error) fail("write", path, error.value());
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  const fs::file_status status = fs::status(target, error);
  if (!fs::exists(status) || fs::is_regular_file(status)) return target.string();
  throw StoreError("cannot write " + path + ": it is " + (fs::is_directory(status) ? "a folder" : "a device or a pipe") +
                   "; name a file");
}

std::string temporary_name(const std::string& target) { return target + "." + std::to_string(::getpid()) + ".tmp"; }

void require_writable(const std::string& path) {
  const std::string target = write_target(path), trial = temporary_name(target);
  make_folders(folder_of(target));
  const Descriptor file{::open(trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (file.number < 0) fail("write", path);
  ::unlink(trial.c_str());
}

void atomic_write(const std::string& path, std::string_view bytes) {
  const std::string target = write_target(path), temporary = temporary_name(target);
  Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
  if (file.number < 0) fail("write", path);
  int error = write_all(file.number, bytes);
  if (!error && ::fsync(file.number) != 0) error = errno;
  if (file.close() != 0 && !error) error = errno;
  if (!error && ::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
  if (error) {
    ::unlink(temporary.c_str());
    fail("write", path, error);
  }
  sync_folder(target);
}

void move_into_place(const std::string& finished, const std::string& path) {
  const std::string target = write_target(path);
  Descriptor file{::open(finished.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.number < 0 || ::fsync(file.number) != 0 || ::rename(finished.c_str(), target.c_str()) != 0) fail("write", path);
  sync_folder(target);
}

LineFile::LineFile(std::string path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail("write", path_);
}

LineFile::~LineFile() { ::close(file_); }

void LineFile::add(const std::string& line) {
  if (const int error = write_all(file_, line + "\n")) fail("write", path_, error);
}

FolderLock::FolderLock(const std::string& folder) {
  const std::string path = folder + "/lock";
  // Not passed on to child processes: a child that outlives us must not hold the folder.
  Descriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666)};
  struct stat status;
  const bool other = file.number >= 0 && ::fstat(file.number, &status) == 0 && !S_ISREG(status.st_mode);
  if (other || (file.number < 0 && errno == ELOOP))
    throw StoreError(path + " is a link, a device or a pipe, not a file of ours: delete it");  // our process id would go elsewhere
  if (file.number < 0) fail("write", path);
  if (::flock(file.number, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail("lock", path);
    const std::string holder = trim(read_file(path));
    throw StoreError(folder + " is in use by " + (holder.empty() ? "another process" : "process " + holder) +
                     "; wait for it or stop it, or give this run another folder (run.folder)");
  }
  const std::string owner = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.number, 0) != 0) fail("write", path);
  if (const int error = write_all(file.number, owner)) fail("write", path, error);
  file_ = file.number;
  file.number = -1;
}

FolderLock::~FolderLock() { ::close(file_); }

}  // namespace mneme
