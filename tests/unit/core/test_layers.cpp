// Dependencies between layers point one way: no file includes a header of a layer above its own.
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "tests/support/test.h"

namespace fs = std::filesystem;

namespace {

using Layers = std::set<std::string>;

// What each layer may include, beside itself and include/mneme.
const std::map<std::string, Layers> kMayUse{
    {"core", {}},
    {"config", {"core"}},
    {"tasks", {"core", "config"}},
    {"results", {"core", "config"}},
    {"report", {"core", "config", "results"}},
    {"kernels", {}},
    {"nn", {"core", "config", "kernels"}},
    {"memory", {"core", "config", "nn", "kernels"}},
    {"models", {"core", "config", "nn", "kernels", "memory"}},
    {"train", {"core", "config", "nn", "kernels", "memory", "models", "tasks", "results"}},
};
const Layers kTorchFree{"core", "config", "tasks", "results", "report"};

std::vector<std::string> includes_of(const fs::path& file) {
  static const std::regex include(R"(^\s*#include\s*[<"]([^">]+)[">])");
  std::vector<std::string> found;
  std::ifstream in(file);
  std::smatch match;
  for (std::string line; std::getline(in, line);)
    if (std::regex_search(line, match, include)) found.push_back(match[1]);
  return found;
}

// Of a path from the root, or of a header as it is included.
std::string layer_of(const std::string& path) {
  const std::string file = path.rfind("src/", 0) == 0 ? path.substr(4) : path;
  return file.substr(0, file.find('/'));
}

}  // namespace

TEST_CASE("layers include only what stands below them, and torch-free layers no LibTorch", "[core][layers]") {
  const fs::path root = MNEME_SOURCE_DIR;
  int files = 0;
  for (const char* folder : {"src", "memory"})
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cpp") continue;
      ++files;
      const std::string layer = layer_of(fs::relative(entry.path(), root).string());
      REQUIRE(kMayUse.count(layer));
      const Layers& allowed = kMayUse.at(layer);
      for (const std::string& header : includes_of(entry.path())) {
        INFO(entry.path().string() << " includes " << header);
        const std::string other = layer_of(header), first = header.substr(0, header.find('/'));
        if (kMayUse.count(other) && header.find('/') != std::string::npos) REQUIRE((other == layer || allowed.count(other)));
        REQUIRE(first != "experiments");
        const bool torch = first == "ATen" || first == "c10" || first == "torch" || header == "mneme/state.h" ||
                           header == "mneme/memory.h" || header == "mneme/model.h";
        if (kTorchFree.count(layer)) REQUIRE_FALSE(torch);
      }
    }
  REQUIRE(files > 50);
}
