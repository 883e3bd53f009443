// Properties: a folder has one holder, until it dies; who looks does not disturb; a folder that is gone is told.
#include "base/folder_lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

TEST_CASE("a second process is refused with the holder's id, and let in after the holder dies", "[folder_lock]") {
  test::TemporaryFolder folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    const FolderLock lock(folder.path());
    (void)!::write(ready[1], "x", 1);
    ::pause();
  }
  char byte;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THROWS_WITH(FolderLock(folder.path()), Contains("in use by process " + std::to_string(holder)));
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  CHECK_NOTHROW(FolderLock(folder.path()));
}

TEST_CASE("looking at a folder tells whether it is held, and makes nothing", "[folder_lock]") {
  test::TemporaryFolder folder;
  CHECK(!folder_in_use(folder.path()));
  CHECK(!std::filesystem::exists(folder / "lock"));
  std::optional<FolderLock> lock(folder.path());
  CHECK(folder_in_use(folder.path()));
  CHECK_THROWS_AS(FolderLock(folder.path()), FolderInUse);
  ::setenv("MNEME_LOCKS", "off", 1);
  CHECK_NOTHROW(FolderLock(folder.path()));
  ::setenv("MNEME_LOCKS", "of", 1);
  CHECK_THROWS_AS(FolderLock(folder.path()), UsageError);
  ::unsetenv("MNEME_LOCKS");
  lock.reset();
  CHECK(!folder_in_use(folder.path()));
}

TEST_CASE("a folder that was deleted, or made anew by others, is no longer held", "[folder_lock]") {
  namespace fs = std::filesystem;
  test::TemporaryFolder folder;
  fs::create_directory(folder / "run");
  const FolderLock lock(folder / "run");
  CHECK_NOTHROW(lock.require_folder());
  fs::remove_all(folder / "run");
  CHECK_THROWS_WITH(lock.require_folder(), Contains("was deleted"));
  fs::create_directory(folder / "run");
  const FolderLock other(folder / "run");
  CHECK_THROWS_WITH(lock.require_folder(), Contains("was deleted"));
  CHECK_NOTHROW(other.require_folder());
}

TEST_CASE("a lock that is a link to elsewhere is refused", "[folder_lock]") {
  namespace fs = std::filesystem;
  test::TemporaryFolder folder;
  atomic_write(folder / "precious", "text");
  fs::create_directory(folder / "run");
  fs::create_symlink("../precious", folder / "run/lock");
  CHECK_THROWS_AS(FolderLock(folder / "run"), StoreError);
  CHECK(read_file(folder / "precious") == "text");
}
