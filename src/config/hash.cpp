#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <utility>

#include "config/plugins.h"
#include "config/sections.h"
#include "io/sha256.h"
#include "base/text.h"

namespace mneme {
namespace {

constexpr size_t kHashDigits = 16, kIdDigits = 8, kMaxSlug = 96;

// Raised where the meaning of options changes. Where a default changes, or an option is new and its default not what was before, the plug-in
// keeps the former one (FormerDefaults) as what does not count: runs made by it keep their hash, and the new default counts.
constexpr const char* kSchema = "schema=2";

// key → text of a config of the same kinds in which nothing was set, by the former defaults.
std::map<std::string, std::string> default_values(const Config& config) {
  Config fresh;
  fresh.model.kind = config.model.kind, fresh.memory.kind = config.memory.kind, fresh.task.kind = config.task.kind;
  auto made = [](const KnownPlugin* plugin) { return plugin && plugin->options ? plugin->options() : nullptr; };
  fresh.model.own = made(known_plugin(known_blocks(), config.model.kind));
  fresh.memory.own = made(known_plugin(known_memories(), config.memory.kind));
  if (const TaskPlugin* task = TaskRegistry::instance().find(config.task.kind)) fresh.task_options = task->options();
  const Config usual;
  std::map<std::string, std::string> values;
  for (const Config* from : {&std::as_const(fresh), &usual})  // the kinds themselves have their defaults too
    for (const Section& section : sections_of(*from))
      for (const Field& field : fields_of(section)) values[field.key] = field.text();
  for (const auto& [key, text] : former_defaults(config.model.kind, config.task.kind)) values[key] = text;
  return values;
}

std::string hashed_text(const Field& field) {
  if (field.files == nullptr) return field.text();
  std::vector<std::string> digests;
  for (const std::string& path : *field.files) digests.push_back(path_digest(path));
  return join(digests, ",");
}

// Letters, digits, '_', '.' and single dashes: safe in file names and readable.
std::string slug(const std::string& name) {
  std::string text;
  for (const unsigned char c : name) {
    if (std::isalnum(c) != 0 || c == '_' || c == '.')
      text += static_cast<char>(c);
    else if (!text.empty() && text.back() != '-')
      text += '-';
  }
  const size_t first = std::min(text.find_first_not_of("-."), text.size());  // neither hidden nor '..' nor an option
  text = text.substr(first, kMaxSlug);
  return text.substr(0, text.find_last_not_of("-.") + 1);
}

}  // namespace

std::string config_hash(const Config& config, const std::vector<std::string>& without) {
  const std::map<std::string, std::string> defaults = default_values(config);
  auto counts = [&](const Field& field) {
    const auto usual = defaults.find(field.key);
    return field.hashed && (usual == defaults.end() || usual->second != field.text());
  };
  std::vector<std::string> lines{kSchema};
  for (const Section& section : sections_of(config))
    for (const Field& field : fields_of(section))
      if (counts(field) && std::find(without.begin(), without.end(), field.key) == without.end())
        lines.push_back(field.key + "=" + hashed_text(field) + "\n");
  std::sort(lines.begin(), lines.end());  // the order of description does not matter
  return sha256_hex(join(lines, "")).substr(0, kHashDigits);
}

std::string run_id(const Config& config) {
  std::string name = slug(config.run.name);
  if (name.empty()) name = slug(config.model.kind + "-" + config.task.kind);
  return name + "-" + config_hash(config).substr(0, kIdDigits);
}

std::string run_folder(const Config& config) { return (std::filesystem::path(config.run.folder) / run_id(config)).string(); }

}  // namespace mneme
