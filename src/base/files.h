// Files that are either the old one or the new one, never half of each, and folders held by one process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// The whole file. DataError: missing or unreadable.
std::string read_file(const std::string& path);

/// A text as people save it, in the one form in which texts are read here: without a UTF-8 byte order mark, all three line ends (CR LF, CR,
/// LF) as LF.
std::string with_plain_lines(std::string_view text);
/// What a text is in that is not read here: "UTF-16"; "" = nothing known.
std::string foreign_encoding(std::string_view text);

/// Files of a folder and of folders in it, sorted by path: links are followed, what is hidden (".git") is left out. DataError: a folder that
/// cannot be read, a link to nothing.
std::vector<std::string> files_below(const std::string& folder);

/// Makes the folder and those above it. StoreError where it cannot.
void make_folders(const std::string& folder);

/// The file that writing to `path` is about: links are followed, so that a link stays one. StoreError where something
/// stands there that is no regular file: renaming onto a device would remove it.
std::string write_target(const std::string& path);

/// Before minutes of work, not after them: a file can be written there. Makes its folder; touches nothing that is there.
void require_writable(const std::string& path);

/// A name beside `target` that no other process uses, for what is not finished.
std::string temporary_name(const std::string& target);

/// Writes a temporary file beside `path` (or what it links to), fsyncs it, renames it into place and fsyncs the folder. On
/// a full disk: StoreError, the old file is still there and the temporary one is gone.
void atomic_write(const std::string& path, std::string_view bytes);

/// The same for a file that was written by other means, e.g. an HDF5 output larger than memory: fsync `finished`, a
/// temporary_name(write_target(path)), and rename.
void move_into_place(const std::string& finished, const std::string& path);

/// Appends lines, each in one write: a reader never sees half a line of a living process.
class LineFile {
 public:
  explicit LineFile(std::string path);
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  void add(const std::string& line);

 private:
  std::string path_;
  int file_ = -1;
};

/// Holds `folder`/lock by flock as long as it lives; the system lets go when the process ends, however it ends.
/// StoreError: another process holds it (its id is in the message), or the folder is not writable.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_ = -1;
};

}  // namespace mneme
