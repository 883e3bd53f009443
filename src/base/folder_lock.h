// A folder held by one process: flock on its file `lock`, which the system lets go of when the process ends, however it ends.
//
// Some file systems have no locks (Lustre mounted without -o flock, NFS without lockd). There a folder is refused, unless MNEME_LOCKS=off says
// that whoever starts the processes sees to it that no two of them work in one folder.
#pragma once

#include <string>

#include "mneme/errors.h"

namespace mneme {

/// Another process works in the folder.
class FolderInUse : public StoreError {
 public:
  using StoreError::StoreError;
  static constexpr const char* kWords = " is in use by ";  // stand in each of these messages, and in no other
};

class FolderLock {
 public:
  /// Waits a moment, in case somebody only looks. FolderInUse: names the process that holds it. StoreError: the folder is not writable, or has
  /// no locks.
  explicit FolderLock(std::string folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// StoreError where the folder, or the lock in it, was deleted or replaced meanwhile.
  void require_folder() const;

 private:
  std::string folder_;
  int file_ = -1;
};

/// Another process holds it. False where that cannot be known: no locks, not ours to read.
bool folder_in_use(const std::string& folder);

/// false: MNEME_LOCKS=off. UsageError for another value but on.
bool locks_wanted();

/// How a file may be read beside those that write it in place (ours are replaced whole, never written in place).
enum class ReadLock {
  free,      // nobody writes it
  held,      // another program has it open for writing, with a lock
  no_locks,  // this file system has none, or they are not wanted
};
/// DataError where it cannot be opened.
ReadLock read_lock(const std::string& path);

}  // namespace mneme
