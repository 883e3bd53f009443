#include "base/outputs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kOfRuns{"run.h5", "config.ini", "metrics.jsonl", "log.txt", "output.txt", "lock"};

/// One path for every way to name a file, there or not.
fs::path identity(const fs::path& path) {
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(fs::absolute(path), error);
  return error ? fs::absolute(path).lexically_normal() : canonical;
}

bool same(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return a == b || fs::equivalent(a, b, ignored);
}

bool lies_in(const fs::path& file, const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) return false;
  return *file.lexically_relative(folder).begin() != "..";
}

bool kept_by_a_run(const fs::path& file) {
  std::error_code ignored;
  const fs::path folder = file.parent_path();
  const bool checkpoint = fs::exists(folder / "trainer.json", ignored) ||
                          (folder.filename() == "checkpoint" && fs::exists(folder / "latest", ignored));
  if (checkpoint) return true;
  const bool own_name = std::count(kOfRuns.begin(), kOfRuns.end(), file.filename().string()) > 0;
  return own_name && fs::exists(folder / "config.ini", ignored);
}

}  // namespace

void check_outputs(const std::vector<NamedPath>& outputs, const std::vector<NamedPath>& inputs) {
  std::vector<std::pair<std::string, fs::path>> files;
  for (const NamedPath& output : outputs) {
    if (output.path.empty()) continue;
    const fs::path file = identity(write_target(output.path));
    const std::string given = output.name + " " + output.path;
    if (kept_by_a_run(file)) throw UsageError(given + " is what a run keeps of its training; name another file");
    for (const NamedPath& input : inputs) {
      if (input.path.empty()) continue;
      const fs::path read = identity(input.path);
      if (same(file, read))
        throw UsageError(given + " is the file that " + input.name + " reads: it would be overwritten; name another file");
      if (lies_in(file, read))
        throw UsageError(given + " lies in " + input.path + ", which " + input.name + " reads; name a file elsewhere");
    }
    for (const auto& [name, other] : files)
      if (same(file, other)) throw UsageError(given + " is also written by " + name + "; give each a file of its own");
    files.push_back({output.name, file});
  }
  for (const NamedPath& output : outputs)
    if (!output.path.empty()) require_writable(output.path);
}

}  // namespace mneme
