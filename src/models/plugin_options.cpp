// Own options of blocks and memories: what the layer of configs is told of them, whose registries it cannot see, and setting them by name.
#include "config/config.h"
#include "config/fields.h"
#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {

void make_plugins_known() {
  register_memories();
  register_blocks();
  std::vector<KnownPlugin> blocks, memories;
  for (const BlockPlugin& block : BlockRegistry::instance().all())
    blocks.push_back({.name = block.name, .options = block.options, .check = block.check, .has_memory = block.has_memory});
  for (const MemoryPlugin& memory : MemoryRegistry::instance().all()) {
    KnownPlugin known{.name = memory.name, .options = memory.options, .at_test_time = memory.at_test_time};
    if (memory.check)
      known.check = [check = memory.check](const ModelOptions&, const MemoryOptions& options, Problems& problems) { check(options, problems); };
    memories.push_back(std::move(known));
  }
  set_known_plugins(std::move(blocks), std::move(memories));
}

namespace {

template <class Plugin>
void set_own(const Plugin& plugin, std::shared_ptr<Options>& own, const std::string& name, const std::string& text) {
  if (!own && plugin.options) own = plugin.options();
  std::string names;
  if (own)
    for (Field& field : fields_of(*own, "")) {
      if (field.key == name) {
        if (const std::string wrong = field.parse(text); !wrong.empty()) throw ConfigError(plugin.name + "." + name + " = " + text + ": " + wrong);
        return;
      }
      names += (names.empty() ? "" : ", ") + field.key;
    }
  throw ConfigError(plugin.name + "." + name + ": there is no such option; " + (names.empty() ? "it has none" : "there are " + names));
}

}  // namespace

void set_own(MemoryOptions& options, const std::string& name, const std::string& text) {
  set_own(MemoryRegistry::instance().get(options.kind), options.own, name, text);
}

void set_own(ModelOptions& options, const std::string& name, const std::string& text) {
  set_own(BlockRegistry::instance().get(options.kind), options.own, name, text);
}

}  // namespace mneme
