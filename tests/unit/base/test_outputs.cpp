// Properties: an output never is an input, another output or what a run keeps, however it is named; nothing is touched.
#include <filesystem>
#include <fstream>

#include "base/outputs.h"
#include "mneme/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

struct Place : test::TemporaryFolder {
  void make(const std::string& name) const {
    fs::create_directories(fs::path(*this / name).parent_path());
    std::ofstream(*this / name) << name;
  }
};

}  // namespace

TEST_CASE("an output that is an input is refused, by whatever name", "[outputs]") {
  const Place place;
  place.make("a/x");
  fs::create_symlink("a", place / "folder_link");
  fs::create_symlink("x", place / "a/link");
  for (const char* name : {"a/x", "a/../a/x", "a/./x", "folder_link/x", "a/link", "folder_link/link"}) {
    INFO(name);
    CHECK_THROWS_WITH(check_outputs({{"--output", place / name}}, {{"--input", place / "a/x"}}),
                      Contains("--input reads") && Contains("name another file"));
    CHECK_THROWS_AS(check_outputs({{"--output", place / "a/x"}}, {{"--input", place / name}}), UsageError);
  }
  CHECK_NOTHROW(check_outputs({{"--output", place / "a/y"}, {"--more", ""}}, {{"--input", place / "a/x"}, {"--else", ""}}));
  CHECK_NOTHROW(check_outputs({{"--output", place / "a/xy"}}, {{"--input", place / "a/x"}}));
  CHECK_FALSE(fs::exists(place / "a/y"));
}

TEST_CASE("a folder that is read takes no output", "[outputs]") {
  const Place place;
  place.make("books/one.txt");
  for (const char* name : {"books/one.txt", "books/new", "books/deeper/new"})
    CHECK_THROWS_WITH(check_outputs({{"--output", place / name}}, {{"text", place / "books"}}), Contains("lies in"));
  CHECK_NOTHROW(check_outputs({{"--output", place / "books2"}}, {{"text", place / "books"}}));
  CHECK_FALSE(fs::exists(place / "books/deeper"));
}

TEST_CASE("two outputs are two files, also before they are there", "[outputs]") {
  const Place place;
  fs::create_symlink("y", place / "to_y");  // of a file that is not there yet
  CHECK_THROWS_WITH(check_outputs({{"--a", place / "y"}, {"--b", place / "to_y"}}), Contains("also written by --a"));
  CHECK_THROWS_WITH(check_outputs({{"--a", place / "z/y"}, {"--b", place / "z/./y"}}), Contains("a file of its own"));
  CHECK_NOTHROW(check_outputs({{"--a", place / "y"}, {"--b", place / "z"}}));
}

TEST_CASE("what a run keeps is not written over", "[outputs]") {
  const Place place;
  for (const char* name : {"run/config.ini", "run/checkpoint/latest", "run/checkpoint/step-5/trainer.json"}) place.make(name);
  for (const char* name : {"run/run.h5", "run/config.ini", "run/metrics.jsonl", "run/log.txt", "run/lock", "run/checkpoint/best",
                           "run/checkpoint/new", "run/checkpoint/step-5/model.safetensors"})
    CHECK_THROWS_WITH(check_outputs({{"--output", place / name}}), Contains("what a run keeps"));
  for (const char* name : {"run/longer.h5", "run.h5", "elsewhere/config.ini", "latest"})
    CHECK_NOTHROW(check_outputs({{"--output", place / name}}));
}

TEST_CASE("a place that cannot be written is said before the work, with what to do", "[outputs]") {
  const Place place;
  place.make("file");
  CHECK_THROWS_WITH(check_outputs({{"--output", place.path()}}), Contains("it is a folder; name a file"));
  CHECK_THROWS_WITH(check_outputs({{"--output", place / "file/x"}}), Contains("cannot make the folder") && Contains("a folder is needed"));
  CHECK_THROWS_WITH(check_outputs({{"--output", place / std::string(300, 'n')}}), Contains("choose a shorter name"));
  fs::create_symlink("loop", place / "loop");
  CHECK_THROWS_AS(check_outputs({{"--output", place / "loop"}}), StoreError);
  CHECK_NOTHROW(check_outputs({{"--output", place / "new/deeper/x"}}));
  CHECK(fs::is_empty(place / "new/deeper"));
}
