#include "cli/config_source.h"

#include <filesystem>

namespace mneme {

Settings read_settings(const std::string& path, const std::vector<std::string>& overrides) {
  namespace fs = std::filesystem;
  Settings settings = Settings::from_file(fs::is_directory(path) ? (fs::path(path) / "config.ini").string() : path);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  return settings;
}

Config read_config(const std::string& path, const std::vector<std::string>& overrides) {
  return resolve(read_settings(path, overrides));
}

std::string run_folder(const Config& config) {
  return (std::filesystem::path(config.run.folder) / run_id(config)).string();
}

}  // namespace mneme
