#include "config/plugins.h"

#include <utility>

namespace mneme {
namespace {

struct KnownPlugins {
  std::vector<KnownPlugin> blocks, memories;
};

KnownPlugins& known() {
  static KnownPlugins plugins;
  return plugins;
}

}  // namespace

void set_known_plugins(std::vector<KnownPlugin> blocks, std::vector<KnownPlugin> memories) {
  known() = {std::move(blocks), std::move(memories)};
}

const std::vector<KnownPlugin>& known_blocks() { return known().blocks; }
const std::vector<KnownPlugin>& known_memories() { return known().memories; }

const KnownPlugin* known_plugin(const std::vector<KnownPlugin>& list, const std::string& name) {
  for (const KnownPlugin& plugin : list)
    if (plugin.name == name) return &plugin;
  return nullptr;
}

std::vector<std::string> known_names(const std::vector<KnownPlugin>& list) {
  std::vector<std::string> names;
  for (const KnownPlugin& plugin : list) names.push_back(plugin.name);
  return names;
}

}  // namespace mneme
