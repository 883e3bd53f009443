// Properties: a file is the old or the new one, never half; a full disk changes nothing.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "io/sha256.h"
#include "mneme/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

/// Runs `work` in a child process; its exit status, or 128 + signal.
template <class Work>
int in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

size_t entries(const std::string& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

}  // namespace

TEST_CASE("a written file reads back, and the write leaves nothing else behind", "[files]") {
  test::TemporaryFolder folder;
  const std::string bytes("a\0b\n", 4);
  atomic_write(folder / "x", "old");
  atomic_write(folder / "x", bytes);
  CHECK(read_file(folder / "x") == bytes);
  CHECK(entries(folder.path()) == 1);
  CHECK_THROWS_AS(read_file(folder / "missing"), DataError);
  CHECK_THROWS_WITH(atomic_write(folder / "no/x", "y"), Contains("no/x") && Contains("No such file"));
}

TEST_CASE("a full disk leaves the old file and says so", "[files]") {
  test::TemporaryFolder folder;
  atomic_write(folder / "x", "old");
  const int status = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      atomic_write(folder / "x", std::string(100000, 'n'));
    } catch (const StoreError& error) {
      return std::string(error.what()).find("free some space") != std::string::npos ? 0 : 2;
    }
    return 1;
  });
  CHECK(status == 0);
  CHECK(read_file(folder / "x") == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a link stays a link, and its target is written; a pipe, a folder, a circle of links are refused", "[files]") {
  namespace fs = std::filesystem;
  test::TemporaryFolder folder;
  fs::create_directory(folder / "elsewhere");
  fs::create_symlink("elsewhere/x", folder / "link");  // of a file that is not there yet
  fs::create_symlink("link", folder / "second");
  for (const char* bytes : {"old", "new"}) {
    atomic_write(folder / "second", bytes);
    CHECK(read_file(folder / "elsewhere/x") == bytes);
  }
  atomic_write(folder / "made", "moved");
  move_into_place(folder / "made", folder / "second");
  CHECK(read_file(folder / "elsewhere/x") == "moved");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(fs::is_symlink(folder / "second"));
  CHECK(entries(folder / "elsewhere") == 1);

  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_symlink("circle", folder / "circle");
  fs::create_symlink("pipe", folder / "to_pipe");
  for (const char* name : {"pipe", "to_pipe"}) {
    CHECK_THROWS_WITH(atomic_write(folder / name, "x"), Contains("a device or a pipe; name a file"));
    CHECK_THROWS_AS(move_into_place(folder / "elsewhere/x", folder / name), StoreError);
  }
  CHECK(fs::is_fifo(folder / "pipe"));
  CHECK_THROWS_WITH(atomic_write(folder / "elsewhere", "x"), Contains("it is a folder; name a file"));
  CHECK_THROWS_WITH(atomic_write(folder / "circle", "x"), Contains("levels of symbolic links"));
  CHECK(read_file(folder / "elsewhere/x") == "moved");
}

TEST_CASE("what cannot be written says what to do", "[files]") {
  test::TemporaryFolder folder;
  atomic_write(folder / "file", "x");
  CHECK_THROWS_WITH(make_folders(folder / "file/below"), Contains("cannot make the folder") && Contains("choose another name"));
  CHECK_THROWS_WITH(atomic_write(folder / "no/x", "y"), Contains("make its folder first"));
  std::filesystem::create_directory(folder / "locked");
  std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_read);
  const int status = in_child([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 3;  // root may write everywhere
    try {
      make_folders(folder / "locked/x");
    } catch (const StoreError& error) {
      return std::string(error.what()).find("choose a place you may write to") != std::string::npos ? 0 : 2;
    }
    return 1;
  });
  CHECK(status == 0);
}

TEST_CASE("lines that cannot be written are an error", "[files]") {
  LineFile full("/dev/full");
  CHECK_THROWS_AS(full.add("x"), StoreError);
}

TEST_CASE("a writer killed at any moment leaves a whole file", "[files]") {
  test::TemporaryFolder folder;
  const size_t size = 1 << 20;
  atomic_write(folder / "x", std::string(size, '0'));
  for (int round = 0; round < 8; ++round) {
    const pid_t child = ::fork();
    if (child == 0)
      for (char c = 'a';; c = c == 'z' ? 'a' : static_cast<char>(c + 1)) atomic_write(folder / "x", std::string(size, c));
    ::usleep(static_cast<useconds_t>(5000 + 3700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string bytes = read_file(folder / "x");
    REQUIRE(bytes.size() == size);
    REQUIRE(bytes.find_first_not_of(bytes[0]) == std::string::npos);
  }
}

TEST_CASE("what dead processes left is removed, and nothing else", "[files]") {
  namespace fs = std::filesystem;
  test::TemporaryFolder folder;
  const bool asked_about = GENERATE(true, false);
  const pid_t gone = ::fork();
  if (gone == 0) ::_exit(0);
  siginfo_t ended;
  ::waitid(P_PID, static_cast<id_t>(gone), &ended, WEXITED | (asked_about ? 0 : WNOWAIT));
  const std::string dead = std::to_string(gone), alive = std::to_string(::getppid());
  const std::vector<std::string> ours{"x." + host_name() + "-" + dead + ".tmp", "x." + dead + ".tmp", temporary_name("x")}, of_others{"x.elsewhere-" + alive + ".tmp"},
      kept{"x", "x." + alive + ".tmp", "x.tmp", "y.tmp", "x.12a.tmp", "1234.tmp"};
  const auto make = [&] {
    for (const auto& names : {kept, of_others, ours})
      for (const std::string& name : names) atomic_write(folder / name, "half");
  };
  const auto there = [&](const std::vector<std::string>& names) {
    return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return fs::exists(folder / name); });
  };
  const auto none_there = [&](const std::vector<std::string>& names) {
    return std::none_of(names.begin(), names.end(), [&](const std::string& name) { return fs::exists(folder / name); });
  };
  make();
  remove_unfinished(folder.path(), "y");
  CHECK((there(ours) && there(of_others) && there(kept)));
  require_writable(folder / "x");
  CHECK((none_there(ours) && there(of_others) && there(kept)));
  make();
  remove_unfinished(folder.path(), "", /*held=*/true);
  CHECK((none_there(ours) && none_there(of_others) && there(kept)));
}

TEST_CASE("all three line ends are one, and a byte order mark is none of the text", "[core][files]") {
  CHECK(with_plain_lines("\xef\xbb\xbf" "a\r\nb\rc\nd\r") == "a\nb\nc\nd\n");
  CHECK(with_plain_lines("a\r\r\nb") == "a\n\nb");
  CHECK(foreign_encoding("plain text") == "");
  CHECK(foreign_encoding(std::string("\xff\xfe" "a\0b\0", 6)) == "UTF-16");
  CHECK_THAT(foreign_encoding(std::string("\0a\0b\0c\0d", 8)), Catch::Contains("UTF-16"));
  CHECK(foreign_encoding(std::string(100, '\0')) == "");  // any bytes are a text, but none is UTF-16 of nothing
}

TEST_CASE("files below a folder: what links lead to, nothing hidden, no circle, no link to nothing", "[core][files]") {
  namespace fs = std::filesystem;
  test::TemporaryFolder folder;
  const auto write = [&](const std::string& name) {
    fs::create_directories(fs::path(folder / name).parent_path());
    std::ofstream(folder / name) << "x";
  };
  for (const char* name : {"a/b.txt", "a/.hidden.txt", "a/.git/c.txt", "a/sub/d.txt", "elsewhere/e.txt", "f.txt"}) write(name);
  fs::create_directory_symlink(folder / "elsewhere", folder / "a/linked");
  fs::create_symlink(folder / "f.txt", folder / "a/g.txt");
  fs::create_directory_symlink(folder / "a", folder / "a/sub/circle");
  std::vector<std::string> names;
  for (const std::string& file : files_below(folder / "a")) names.push_back(file.substr(folder.path().size() + 1));
  CHECK(names == std::vector<std::string>{"a/b.txt", "a/g.txt", "a/linked/e.txt", "a/sub/d.txt"});
  const std::string before = path_digest(folder / "a");
  write("a/.git/more.txt");
  CHECK(path_digest(folder / "a") == before);  // what is not read does not count
  write("elsewhere/more.txt");
  CHECK(path_digest(folder / "a") != before);
  fs::create_symlink("nowhere", folder / "a/broken.txt");
  CHECK_THROWS_WITH(files_below(folder / "a"), Catch::Contains("broken.txt is a link to nothing"));
}

TEST_CASE("nobody means a folder that is called ~", "[core][files]") {
  for (const char* path : {"~", "~/runs"}) CHECK_THROWS_WITH(make_folders(path), Catch::Contains("only a shell"));
  CHECK_THROWS_WITH(atomic_write("~/x", "x"), Catch::Contains("$HOME"));
}
