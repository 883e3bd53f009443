#include "config/plugins.h"

#include <utility>

#include "config/config.h"

namespace mneme {
namespace {

struct KnownPlugins {
  std::vector<std::string> blocks, memories;
};

KnownPlugins& known() {
  static KnownPlugins plugins;
  return plugins;
}

}  // namespace

void set_known_plugins(std::vector<std::string> blocks, std::vector<std::string> memories) {
  known() = {std::move(blocks), std::move(memories)};
}

const std::vector<std::string>& known_blocks() { return known().blocks; }
const std::vector<std::string>& known_memories() { return known().memories; }

}  // namespace mneme
