// Files that are either the old one or the new one, never half of each; how texts are read, and which files a folder holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// The size of a file that can be read. DataError: missing, unreadable, or no file but a folder, a device or a pipe, which may never end.
size_t require_file(const std::string& path);

/// The whole file. DataError: as above, or of more than `most` bytes.
std::string read_file(const std::string& path, size_t most = SIZE_MAX);

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

/// Before minutes of work, not after them: a file can be written there. Makes its folder; touches nothing that is there, but for what an
/// earlier process left of it unfinished.
void require_writable(const std::string& path);

/// A name beside `target` that no other process uses, for what is not finished: `target`.HOST-PID.tmp.
std::string temporary_name(const std::string& target);
std::string host_name();

/// Of processes of this host that have ended, and, in a folder that is `held` (FolderLock), of all other hosts: removes what they did not
/// finish. To be called before this process begins to write there. `name`: only of that file, else of every one in the folder.
void remove_unfinished(const std::string& folder, const std::string& name, bool held = false);

/// Writes a temporary file beside `path` (or what it links to), fsyncs it, renames it into place and fsyncs the folder. On
/// a full disk: StoreError, the old file is still there and the temporary one is gone.
void atomic_write(const std::string& path, std::string_view bytes);

/// The same for a file that was written by other means, e.g. an HDF5 output larger than memory: fsync `finished`, a
/// temporary_name(write_target(path)), and rename.
void move_into_place(const std::string& finished, const std::string& path);

/// An open file; closed when left.
class OpenFile {
 public:
  explicit OpenFile(int number) : number_(number) {}
  static OpenFile to_read(const std::string& path);   // DataError: missing, unreadable, no file
  static OpenFile to_write(const std::string& path);  // made where it is missing, not emptied; StoreError: also where a link or a device stands
  OpenFile(OpenFile&& other) noexcept : number_(other.release()) {}
  ~OpenFile();
  int number() const { return number_; }
  size_t size() const;
  int release();
  /// 0, or the error.
  int close();
  /// `bytes` instead of what it holds.
  void replace_with(std::string_view bytes, const std::string& path);

 private:
  int number_;
};

/// Appends lines, each in one write: a reader never sees half a line of a living process, and what a full disk cut is taken back.
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

}  // namespace mneme
