#include "tests/unit/config/config_fixture.h"

#include <unistd.h>

#include <fstream>

namespace mneme::test {
namespace {

struct SampleOptions : Options {
  std::vector<std::string> data;
  std::vector<Setting> pairs = {{8, 16}};
  int64_t keys = 4;
  std::string note = "a: b";

  void describe(OptionVisitor& v) override {
    v.files("data", data, "input");
    v.settings("pairs", pairs, 2, {1, 100}, "pairs");
    v.option("keys", keys, {1, 64}, "keys");
    v.option("note", note, {}, "any text");
  }
  void check(const std::string& prefix, Problems& problems) const override {
    if (keys % 2 != 0) problems.add(prefix + "keys", "must be even");
  }
};

struct OtherOptions : Options {
  int64_t depth = 1;
  void describe(OptionVisitor& v) override { v.option("depth", depth, {0, 9}, "depth"); }
};

struct MacOptions : Options {
  int64_t segment = 64;
  void describe(OptionVisitor& v) override { v.option("segment", segment, {1, 100}, "tokens"); }
};

struct LinearOptions : Options {
  int64_t features = 0;
  void describe(OptionVisitor& v) override { v.option("features", features, {0, 64}, "a slow layer"); }
};

}  // namespace

void register_samples() {
  static const bool done = [] {
    TaskRegistry::instance().add(
        {"sample", "a task of the tests", [] { return std::make_unique<SampleOptions>(); }, nullptr});
    TaskRegistry::instance().add({"other", "another", [] { return std::make_unique<OtherOptions>(); }, nullptr});
    auto rule = [](const ModelOptions&, const MemoryOptions& memory, Problems& problems) {
      if (memory.clip == 3) problems.add("memory.clip", "a rule of linear");
    };
    set_known_plugins({{.name = "transformer", .has_memory = false}, {.name = "lmm"}, {.name = "mac", .options = [] { return std::make_shared<MacOptions>(); }},
                       {.name = "mag"}, {.name = "mal"}, {.name = "titans_pytorch"}},
                      {{.name = "linear", .options = [] { return std::make_shared<LinearOptions>(); }, .check = rule}, {.name = "other"}});
    return true;
  }();
  static_cast<void>(done);
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mneme-config-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::path(const std::string& name) const {
  return name.empty() ? path_.string() : (path_ / name).string();
}

std::string TemporaryFolder::write(const std::string& name, const std::string& text) const {
  std::filesystem::create_directories((path_ / name).parent_path());
  std::ofstream(path_ / name, std::ios::binary) << text;
  return path(name);
}

Config config_from(const std::string& ini, const std::vector<std::string>& overrides) {
  register_samples();
  Settings settings = Settings::from_text(ini, "x.ini");
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  if (settings.find("task.kind") == nullptr) settings.set("task.kind", "sample", "test");
  return resolve(settings);
}

std::vector<std::string> config_problems(const std::string& ini, const std::vector<std::string>& overrides) {
  return problems_of([&] { config_from(ini, overrides); });
}

}  // namespace mneme::test
