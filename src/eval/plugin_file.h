// Plug-ins from outside the tree: shared libraries made by `mneme_add_plugin` (mneme/plugin.h), loaded into this process.
#pragma once

#include <string>
#include <vector>

namespace mneme {

struct PluginFile {
  std::string path;                ///< as it was named
  std::string digest;              ///< SHA-256 of the file
  std::vector<std::string> kinds;  ///< "memory.my_rule", "task.my_task": what it registered
};

/// Loads a file once, registers what it has, makes it known to configs and its digest part of the code version. ConfigError where there
/// is no such file, it is no plug-in, was built for another Mneme, LibTorch or compiler, misses a symbol, throws, or has a name that is taken.
void load_plugin(const std::string& path);

/// In the order of loading.
const std::vector<PluginFile>& plugin_files();

/// Those in MNEME_PLUGINS (separated by ':'), and from now on those that a config names (run.plugins). Call after make_plugins_known().
void load_plugins_of_environment();

}  // namespace mneme
