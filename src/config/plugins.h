// The blocks and memories given to set_known_plugins (config.h); empty before.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace mneme {

const std::vector<KnownPlugin>& known_blocks();
const std::vector<KnownPlugin>& known_memories();
/// Null where the name is not known.
const KnownPlugin* known_plugin(const std::vector<KnownPlugin>& list, const std::string& name);
std::vector<std::string> known_names(const std::vector<KnownPlugin>& list);

/// Former defaults of the own options of a block and a task, by full key.
FormerDefaults former_defaults(const std::string& block, const std::string& task);

/// Loads the files of a comma list; returns what went wrong, one line each.
std::vector<std::string> load_plugin_files(const std::string& files);
/// The loaded files that have these kinds, as a comma list.
std::string plugin_files_of(const std::vector<std::string>& kinds);

}  // namespace mneme
