// Named plug-ins. A plug-in file defines one function `register_<kind>_<file name>(Registry<…>&)`; CMake finds the file by
// its folder and writes the call, so there is no list to edit. Programs of users add theirs the same way.
#pragma once

#include <string>
#include <vector>

#include "mneme/errors.h"

namespace mneme {

/// `Plugin` has a `name` and a `summary` (one line, printed by `mneme list`).
template <class Plugin>
class Registry {
 public:
  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  void add(Plugin plugin) {
    if (find(plugin.name)) throw Error("two plug-ins are called '" + plugin.name + "': rename one of them");
    plugins_.push_back(std::move(plugin));
  }

  const Plugin* find(const std::string& name) const {
    for (const Plugin& plugin : plugins_)
      if (plugin.name == name) return &plugin;
    return nullptr;
  }

  const Plugin& get(const std::string& name) const {
    if (const Plugin* plugin = find(name)) return *plugin;
    std::string known;
    for (const Plugin& plugin : plugins_) known += (known.empty() ? "" : ", ") + plugin.name;
    throw ConfigError("no plug-in is called '" + name + "'; there are: " + known);
  }

  const std::vector<Plugin>& all() const { return plugins_; }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const Plugin& plugin : plugins_) result.push_back(plugin.name);
    return result;
  }

 private:
  std::vector<Plugin> plugins_;
};

}  // namespace mneme
