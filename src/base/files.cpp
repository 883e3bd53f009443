#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
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
    case ELOOP: return "a link stands there, or links in a circle; remove it";
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

/// A folder called "~" is never meant.
void refuse_tilde(const std::string& what, const std::string& path) {
  if (path == "~" || path.starts_with("~/"))
    throw StoreError("cannot " + what + " " + path + ": only a shell makes a folder of ~, and not after '='; write the whole path, or $HOME");
}

/// A rename survives a power cut once its folder is on the disk.
void sync_folder(const std::string& path) {
  const OpenFile folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() >= 0) ::fsync(folder.number());
}

/// False also of a process that was killed and that nobody has asked about yet: it writes no more.
bool is_alive(pid_t process) {
  if (::kill(process, 0) != 0) return errno != ESRCH;
  const OpenFile file(::open(("/proc/" + std::to_string(process) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  char text[512];
  const ssize_t count = file.number() < 0 ? 0 : ::read(file.number(), text, sizeof text);
  const std::string_view stat(text, static_cast<size_t>(std::max<ssize_t>(0, count)));
  const size_t name_end = stat.rfind(')');  // "PID (NAME) STATE …"
  return name_end == std::string_view::npos || name_end + 2 >= stat.size() || stat[name_end + 2] != 'Z';
}

/// What temporary_name adds.
std::string unfinished_by(const std::string& host, const std::string& process) { return "." + host + "-" + process + ".tmp"; }

/// A name that temporary_name, here or on another host, or a former version (NAME.PID.tmp), gave in a process that is gone.
bool is_left_over(const std::string& name, bool any_host) {
  if (!name.ends_with(".tmp")) return false;
  const size_t end = name.size() - 4, last = name.find_last_not_of("0123456789", end - 1);
  if (last == std::string::npos || last + 1 == end || end - last > 10 || (name[last] != '.' && name[last] != '-')) return false;
  const std::string process = name.substr(last + 1, end - last - 1);
  if (name[last] == '-' && !name.ends_with(unfinished_by(host_name(), process))) return any_host;
  const auto id = static_cast<pid_t>(std::stoll(process));
  return id == ::getpid() || !is_alive(id);  // in a container, a later process has the number again
}

}  // namespace

OpenFile OpenFile::to_read(const std::string& path) {
  OpenFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe that nobody writes into must not wait
  struct stat status;
  if (file.number_ < 0 || ::fstat(file.number_, &status) != 0) fail_read(path);
  if (S_ISDIR(status.st_mode)) errno = EISDIR, fail_read(path);
  if (!S_ISREG(status.st_mode)) throw DataError("cannot read " + path + ": it is a device or a pipe; name a file");
  return file;
}

OpenFile OpenFile::to_write(const std::string& path) {
  OpenFile file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
  struct stat status;
  if ((file.number_ < 0 && errno == ELOOP) || (file.number_ >= 0 && ::fstat(file.number_, &status) == 0 && !S_ISREG(status.st_mode)))
    throw StoreError(path + " is a link, a device or a pipe, not a file of ours: delete it");  // what we write would go elsewhere
  if (file.number_ < 0) fail("write", path);
  return file;
}

OpenFile::~OpenFile() { close(); }

size_t OpenFile::size() const {
  struct stat status;
  return ::fstat(number_, &status) == 0 ? static_cast<size_t>(status.st_size) : 0;
}

int OpenFile::release() { return std::exchange(number_, -1); }

int OpenFile::close() { return number_ < 0 || ::close(release()) == 0 ? 0 : errno; }

void OpenFile::replace_with(std::string_view bytes, const std::string& path) {
  if (::ftruncate(number_, 0) != 0) fail("write", path);
  if (const int error = write_all(number_, bytes)) fail("write", path, error);
}

size_t require_file(const std::string& path) { return OpenFile::to_read(path).size(); }

std::string read_file(const std::string& path, size_t most) {
  const OpenFile file = OpenFile::to_read(path);
  const auto require_small = [&](size_t bytes) {
    if (bytes > most)
      throw DataError("cannot read " + path + ": it has more than " + std::to_string(most) + " bytes, and such a file has not; name another file");
  };
  require_small(file.size());
  std::string bytes;
  bytes.reserve(file.size());
  char block[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.number(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_read(path);
    if (count == 0) return bytes;
    bytes.append(block, static_cast<size_t>(count));
    require_small(bytes.size());
  }
}

std::string with_plain_lines(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r') plain += text[i];
    else if (i + 1 == text.size() || text[i + 1] != '\n') plain += '\n';
  return plain;
}

std::string foreign_encoding(std::string_view text) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) return "UTF-16";
  constexpr size_t kLooked = 4096;
  size_t zeros[2] = {0, 0};  // by the parity of their places: of letters in UTF-16 every other byte is one
  const size_t looked = std::min(text.size(), kLooked);
  for (size_t i = 0; i < looked; ++i) zeros[i % 2] += text[i] == '\0';
  const bool wide = looked >= 4 && std::max(zeros[0], zeros[1]) * 4 > looked && std::min(zeros[0], zeros[1]) * 40 < looked;
  return wide ? "UTF-16 (without a byte order mark)" : "";
}

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> files;
  std::set<fs::path> inside;  // the folders being read: a link to one of them leads in a circle, and what is there is read already
  const std::function<void(const fs::path&)> read = [&](const fs::path& path) {
    std::error_code error;
    const auto [own, fresh] = inside.insert(fs::canonical(path, error));
    if (!fresh) return;
    fs::directory_iterator entries(path, error);
    if (error) throw DataError("cannot read the folder " + path.string() + ": " + error.message() + "; change its permissions, or name files in it");
    for (const fs::directory_entry& entry : entries) {
      if (entry.path().filename().string().starts_with('.')) continue;
      if (!entry.exists(error)) throw DataError(entry.path().string() + " is a link to nothing; remove it, or put there what it should lead to");
      if (entry.is_directory()) read(entry.path());
      else if (entry.is_regular_file()) files.push_back(entry.path().string());
    }
    inside.erase(own);
  };
  read(folder);
  std::sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) { return fs::path(a) < fs::path(b); });
  return files;
}

void make_folders(const std::string& folder) {
  refuse_tilde("make the folder", folder);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error || !fs::is_directory(folder)) fail("make the folder", folder, error ? error.value() : ENOTDIR);
}

std::string write_target(const std::string& path) {
  refuse_tilde("write", path);
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

std::string host_name() {
  char name[65] = "";
  ::gethostname(name, sizeof name - 1);
  return *name ? name : "localhost";
}

std::string temporary_name(const std::string& target) { return target + unfinished_by(host_name(), std::to_string(::getpid())); }

void remove_unfinished(const std::string& folder, const std::string& name, bool held) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string found = entry.path().filename().string();
    if (found.starts_with(name.empty() ? "" : name + ".") && is_left_over(found, held) && entry.is_regular_file(ignored))
      fs::remove(entry.path(), ignored);
  }
}

void require_writable(const std::string& path) {
  const std::string target = write_target(path), trial = temporary_name(target);
  make_folders(folder_of(target));
  remove_unfinished(folder_of(target), fs::path(target).filename().string());
  const OpenFile file(::open(trial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.number() < 0) fail("write", path);
  ::unlink(trial.c_str());
}

void atomic_write(const std::string& path, std::string_view bytes) {
  const std::string target = write_target(path), temporary = temporary_name(target);
  OpenFile file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.number() < 0) fail("write", path);
  int error = write_all(file.number(), bytes);
  if (!error && ::fsync(file.number()) != 0) error = errno;
  if (const int closing = file.close(); !error) error = closing;
  if (!error && ::rename(temporary.c_str(), target.c_str()) != 0) error = errno;
  if (error) {
    ::unlink(temporary.c_str());
    fail("write", path, error);
  }
  sync_folder(target);
}

void move_into_place(const std::string& finished, const std::string& path) {
  const std::string target = write_target(path);
  const OpenFile file(::open(finished.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0 || ::fsync(file.number()) != 0 || ::rename(finished.c_str(), target.c_str()) != 0) fail("write", path);
  sync_folder(target);
}

LineFile::LineFile(std::string path)
    : path_(std::move(path)), file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (file_ < 0) fail("write", path_);
}

LineFile::~LineFile() { ::close(file_); }

void LineFile::add(const std::string& line) {
  const off_t end = ::lseek(file_, 0, SEEK_END);
  const int error = write_all(file_, line + "\n");
  if (!error) return;
  [[maybe_unused]] const bool cut = end >= 0 && ::ftruncate(file_, end) == 0;
  fail("write", path_, error);
}

}  // namespace mneme
