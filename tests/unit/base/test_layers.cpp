// Dependencies between layers point one way: a file includes headers of its own layer and of those that its CMake target uses. The graph is
// what CMake knows (build/<preset>/generated/layers.txt, written by cmake/Layers.cmake): "name torch|plain | folders | layers used".
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "tests/support/test.h"

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = MNEME_SOURCE_DIR;

struct Layer {
  bool torch = false;
  std::set<std::string> folders, uses;
};

std::set<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::map<std::string, Layer> graph() {
  std::map<std::string, Layer> layers;
  std::ifstream in(MNEME_LAYER_GRAPH);
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find('|'), second = line.find('|', first + 1);
    std::istringstream head(line.substr(0, first));
    std::string name, kind;
    head >> name >> kind;
    layers[name] = {kind == "torch", words(line.substr(first + 1, second - first - 1)), words(line.substr(second + 1))};
  }
  return layers;
}

/// A layer and everything below it.
std::set<std::string> below(const std::map<std::string, Layer>& layers, const std::string& name) {
  std::set<std::string> all{name};
  for (const std::string& used : layers.at(name).uses) all.merge(below(layers, used));
  return all;
}

/// The layer whose folder holds the file, or a folder above it; "" = none.
std::string layer_of(const std::map<std::string, Layer>& layers, fs::path file) {
  for (fs::path folder = fs::relative(file, kRoot).parent_path(); !folder.empty(); folder = folder.parent_path())
    for (const auto& [name, layer] : layers)
      if (layer.folders.count(folder.string())) return name;
  return "";
}

std::vector<std::string> includes_of(const fs::path& file) {
  static const std::regex include(R"(^\s*#include\s*[<"]([^">]+)[">])");
  std::vector<std::string> found;
  std::ifstream in(file);
  std::smatch match;
  for (std::string line; std::getline(in, line);)
    if (std::regex_search(line, match, include)) found.push_back(match[1]);
  return found;
}

/// The file of ours that an include names; empty = somebody else's.
fs::path ours(const std::string& header) {
  for (const char* folder : {"include", "src", "."})
    if (fs::exists(kRoot / folder / header)) return kRoot / folder / header;
  return {};
}

/// Every header of ours that a file reaches, and whether one of them includes LibTorch's.
bool reaches_torch(const fs::path& file, std::map<fs::path, bool>& known) {
  if (const auto found = known.find(file); found != known.end()) return found->second;
  known[file] = false;
  bool torch = false;
  for (const std::string& header : includes_of(file)) {
    const std::string first = header.substr(0, header.find('/'));
    const fs::path own = ours(header);
    torch = torch || first == "ATen" || first == "c10" || first == "torch" || (!own.empty() && reaches_torch(own, known));
  }
  return known[file] = torch;
}

std::vector<fs::path> sources(std::initializer_list<const char*> folders) {
  std::vector<fs::path> all;
  for (const char* folder : folders)
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / folder))
      if (entry.path().extension() == ".h" || entry.path().extension() == ".cpp") all.push_back(entry.path());
  return all;
}

}  // namespace

TEST_CASE("layers include only what their CMake targets use, and torch-free ones reach no LibTorch", "[layers]") {
  const auto layers = graph();
  REQUIRE(layers.size() > 10);
  std::map<fs::path, bool> torch;
  int files = 0;
  for (const fs::path& file : sources({"src", "memory", "benchmarks", "include", "ops"})) {
    const std::string layer = layer_of(layers, file);
    INFO(file.string());
    const bool outside = fs::relative(file, kRoot).string().rfind("include/", 0) == 0 || fs::relative(file, kRoot).string().rfind("ops/", 0) == 0;
    REQUIRE((outside || !layer.empty()));
    ++files;
    for (const std::string& header : includes_of(file)) {
      INFO("includes " << header);
      const fs::path other = ours(header);
      if (other.empty()) continue;
      const std::string theirs = layer_of(layers, other);
      if (fs::relative(file, kRoot).string().rfind("include/", 0) == 0)  // public headers stand on each other alone
        REQUIRE(theirs.empty());
      else if (outside)
        REQUIRE((theirs.empty() || theirs == "kernels"));
      else if (!theirs.empty())
        REQUIRE(below(layers, layer).count(theirs));
    }
    if (!layer.empty() && !layers.at(layer).torch) REQUIRE_FALSE(reaches_torch(file, torch));
  }
  REQUIRE(files > 250);
}

TEST_CASE("the graph of layers has no cycle and names only layers", "[layers]") {
  const auto layers = graph();
  for (const auto& [name, layer] : layers)
    for (const std::string& used : layer.uses) {
      INFO(name << " uses " << used);
      REQUIRE(layers.count(used));
      REQUIRE_FALSE(below(layers, used).count(name));
    }
}
