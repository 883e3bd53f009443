// Tasks and files for the tests of the config layer.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace mneme::test {

/// Registers the tasks `sample` (files, settings, a rule) and `other` once, and the known plug-ins.
void register_samples();

/// An empty folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string path(const std::string& name = "") const;
  /// Writes a file (with its folders) and gives its path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

Config config_from(const std::string& ini, const std::vector<std::string>& overrides = {});

/// The lines of the ConfigError (or UsageError) that `action` throws; empty when it throws nothing.
template <class Action>
std::vector<std::string> problems_of(Action action);

/// Problems of resolving `ini`, read as file "x.ini".
std::vector<std::string> config_problems(const std::string& ini, const std::vector<std::string>& overrides = {});

}  // namespace mneme::test

#include "base/text.h"
#include "mneme/errors.h"

template <class Action>
std::vector<std::string> mneme::test::problems_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return split(error.what(), '\n');
  }
  return {};
}
