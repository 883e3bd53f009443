#include "config/plugins.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

struct KnownPlugins {
  std::vector<KnownPlugin> blocks, memories;
};

struct Loader {
  std::function<void(const std::string&)> load;
  std::function<std::string(const std::string&)> file_of;
};

Loader& loader() {
  static Loader functions;
  return functions;
}

KnownPlugins& known() {
  static KnownPlugins plugins;
  return plugins;
}

}  // namespace

void set_known_plugins(std::vector<KnownPlugin> blocks, std::vector<KnownPlugin> memories) {
  known() = {std::move(blocks), std::move(memories)};
}

void set_plugin_loader(std::function<void(const std::string&)> load, std::function<std::string(const std::string&)> file_of) {
  loader() = {std::move(load), std::move(file_of)};
}

std::vector<std::string> load_plugin_files(const std::string& files) {
  std::vector<std::string> problems;
  for (const std::string& file : split(files, ',')) {
    const std::string path = trim(file);
    if (path.empty()) continue;
    try {
      if (!loader().load) throw ConfigError("this program loads no plug-ins");
      loader().load(path);
    } catch (const Error& error) {
      problems.push_back(error.what());
    }
  }
  return problems;
}

std::string plugin_files_of(const std::vector<std::string>& kinds) {
  std::vector<std::string> files;
  for (const std::string& kind : kinds) {
    const std::string file = loader().file_of ? loader().file_of(kind) : "";
    if (!file.empty() && std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
  }
  return join(files, ", ");
}

const std::vector<KnownPlugin>& known_blocks() { return known().blocks; }
const std::vector<KnownPlugin>& known_memories() { return known().memories; }

const KnownPlugin* known_plugin(const std::vector<KnownPlugin>& list, const std::string& name) {
  for (const KnownPlugin& plugin : list)
    if (plugin.name == name) return &plugin;
  return nullptr;
}

FormerDefaults former_defaults(const std::string& block, const std::string& task) {
  FormerDefaults all;
  auto add = [&](const std::string& section, const FormerDefaults& own) {
    for (const auto& [name, text] : own) all.push_back({section + name, text});
  };
  if (const KnownPlugin* plugin = known_plugin(known_blocks(), block)) add("model." + block + ".", plugin->former);
  if (const TaskPlugin* plugin = TaskRegistry::instance().find(task)) add("task." + task + ".", plugin->former);
  return all;
}

void fill_in_former_defaults(Settings& stored, const std::string& origin) {
  auto kind = [&](const char* key) {
    const SettingValue* value = stored.find(key);
    return value ? unquoted(value->text) : std::string();
  };
  for (const auto& [key, text] : former_defaults(kind("model.kind"), kind("task.kind")))
    if (!stored.find(key)) stored.set(key, text, origin);
  stored.stored = true;
}

std::vector<std::string> known_names(const std::vector<KnownPlugin>& list) {
  std::vector<std::string> names;
  for (const KnownPlugin& plugin : list) names.push_back(plugin.name);
  return names;
}

}  // namespace mneme
