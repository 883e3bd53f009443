// Every config that comes with Mneme is good (data files need not be there).
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "config/config.h"
#include "config/fields.h"
#include "config/sweep.h"
#include "mneme/model.h"
#include "mneme/task.h"

using namespace mneme;

TEST_CASE("every shipped config resolves", "[train][shipped]") {
  register_tasks();
  make_plugins_known();
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MNEME_SOURCE_DIR "/configs")) {
    const bool sweep = entry.path().string().find("/sweeps/") != std::string::npos;
    if (entry.path().extension() != ".ini" || sweep) continue;
    INFO(entry.path());
    CHECK_NOTHROW(resolve(Settings::from_file(entry.path().string()), DataFiles::may_be_missing));
    ++count;
  }
  CHECK(count >= 10);
}

TEST_CASE("docs/memory-options.md and memory-zoo.md have a word on every option of a memory", "[train][shipped]") {
  std::stringstream docs;
  docs << std::ifstream(MNEME_SOURCE_DIR "/docs/memory-options.md").rdbuf() << std::ifstream(MNEME_SOURCE_DIR "/docs/memory-zoo.md").rdbuf();
  make_plugins_known();
  const std::vector<OptionHelp> all = option_help("memory.");
  CHECK(all.size() > 30);
  for (const OptionHelp& option : all) {
    INFO(option.key);
    CHECK(docs.str().find("`" + option.key + "`") != std::string::npos);
  }
}

/// A folder in which every data file that a config or a sweep names is there, each with a content of its own.
class DataFolder {
 public:
  DataFolder() : before_(std::filesystem::current_path()) {
    const std::regex named("data/[A-Za-z0-9_./-]+[A-Za-z0-9_]");
    for (const char* tree : {"/configs", "/experiments"})
      for (const auto& entry : std::filesystem::recursive_directory_iterator(MNEME_SOURCE_DIR + std::string(tree))) {
        if (entry.path().extension() != ".ini") continue;
        std::stringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const std::string all = text.str();
        for (std::sregex_iterator found(all.begin(), all.end(), named), end; found != end; ++found) make(found->str());
      }
    std::filesystem::current_path(folder_.path());
  }
  ~DataFolder() { std::filesystem::current_path(before_); }
  DataFolder(const DataFolder&) = delete;

 private:
  void make(const std::string& name) {
    std::filesystem::path path = folder_.path() + "/" + name;
    if (path.extension().empty()) path /= "text.txt";  // a folder of texts
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "prose of " << name;
  }

  test::TemporaryFolder folder_;
  const std::filesystem::path before_;
};

TEST_CASE("every shipped sweep expands, and the search gives every arm as many trials", "[train][shipped]") {
  register_tasks();
  make_plugins_known();
  const DataFolder data;
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MNEME_SOURCE_DIR "/experiments")) {
    if (entry.path().extension() != ".ini") continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    if (text.str().find("\nname = ") == std::string::npos || text.str().find("[sweep]") == std::string::npos) continue;  // a part of others
    INFO(entry.path());
    Sweep sweep;
    REQUIRE_NOTHROW(sweep = read_sweep(entry.path().string(), {}));
    if (entry.path() == MNEME_SOURCE_DIR "/experiments/quickstart/long.ini")
      for (const std::vector<AxisValue>& candidates : sweep.candidates) CHECK(candidates.size() == 4);
    ++count;
  }
  CHECK(count >= 8);
}

TEST_CASE("the sweep in docs/config.md expands as it says", "[train][shipped]") {
  register_tasks();
  make_plugins_known();
  std::stringstream docs;
  docs << std::ifstream(MNEME_SOURCE_DIR "/docs/config.md").rdbuf();
  const std::string text = docs.str();
  const size_t begin = text.find("extends = ../base.ini\n\n[sweep]");
  REQUIRE(begin != std::string::npos);
  test::TemporaryFolder folder;
  std::filesystem::copy(MNEME_SOURCE_DIR "/configs", folder.path(), std::filesystem::copy_options::recursive);
  auto written = [&](const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(folder.path() + "/" + name).parent_path());
    std::ofstream(folder.path() + "/" + name) << content;
    return folder.path() + "/" + name;
  };
  const std::string sweep = written("sweeps/recall.ini", text.substr(begin, text.find("```", begin) - begin));
  const std::string book = written("book.txt", "prose");
  const Sweep read = read_sweep(sweep, {"task.needle.train_text=" + book, "task.needle.test_text=" + book});
  // 2 tasks x 3 arms without needle:lmm, x 2 refreshes x 2 widths, without rope at refresh 16
  CHECK(read.combinations.size() == 16);
  CHECK(read.tuning.size() == 16 * 3);
  CHECK(read.runs(std::vector<Tuned>(16, Tuned{0, 1e-3})).size() == 16 * 3);
}
