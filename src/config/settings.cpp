#include "config/settings.h"

#include <algorithm>
#include <filesystem>

#include "config/config.h"
#include "config/settings_reader.h"
#include "base/files.h"
#include "base/text.h"
#include "io/seal.h"
#include "mneme/errors.h"

namespace mneme {

Settings Settings::from_file(const std::string& path) {
  SettingsReader reader;
  Settings settings = reader.file(path, "");
  reader.throw_problems();
  return settings;
}

Settings Settings::from_text(const std::string& text, const std::string& origin, const std::string& folder) {
  SettingsReader reader;
  Settings settings = reader.text(text, origin, folder);
  reader.throw_problems();
  return settings;
}

void Settings::override_with(const std::string& assignment, const std::string& origin) {
  const size_t equals = assignment.find('=');
  const std::string key = trim(assignment.substr(0, equals));
  if (equals == std::string::npos)
    throw UsageError("'" + assignment + "' is not an override; write section.key=value, e.g. train.steps=100");
  if (key.find('.') == std::string::npos)
    throw UsageError("'" + assignment + "': the key '" + key +
                     "' has no section; write section.key=value, e.g. train.steps=100");
  if (not_utf8(assignment) != std::string::npos)
    throw UsageError(origin + ": " + key + ": its value is not in UTF-8, and results could not hold it; write it in UTF-8, or give the file another name");
  try {
    set(key, checked_value(assignment.substr(equals + 1)), origin);
  } catch (const ConfigError& error) {
    throw UsageError(origin + ": " + key + ": " + error.what());
  }
}

void Settings::set(const std::string& key, const std::string& value, const std::string& origin) {
  for (auto& [name, setting] : values_)
    if (name == key) {
      setting = {value, origin};
      return;
    }
  values_.push_back({key, {value, origin}});
}

void Settings::merge(const Settings& later) {
  for (const std::string& name : later.section_names_) add_section(name);
  for (const auto& [key, value] : later.values_) set(key, value.text, value.origin);
}

void Settings::erase(const std::string& key) {
  std::erase_if(values_, [&](const auto& entry) { return entry.first == key; });
}

const SettingValue* Settings::find(const std::string& key) const {
  for (const auto& [name, value] : values_)
    if (name == key) return &value;
  return nullptr;
}

Settings Settings::section(const std::string& prefix) const {
  Settings result;
  for (const auto& [key, value] : values_)
    if (key.rfind(prefix, 0) == 0) result.set(key.substr(prefix.size()), value.text, value.origin);
  return result;
}

void Settings::add_section(const std::string& name) {
  if (std::find(section_names_.begin(), section_names_.end(), name) == section_names_.end())
    section_names_.push_back(name);
}

Settings read_settings(const std::string& path, const std::vector<std::string>& overrides) {
  namespace fs = std::filesystem;
  std::error_code none;
  const bool stored = fs::is_directory(path, none);
  const std::string file = stored ? (fs::path(path) / "config.ini").string() : path;
  if (stored && fs::exists(file, none)) try {
      require_unbroken(file, read_file(file));
    } catch (const DataError& error) {
      throw ConfigError(std::string(error.what()) + "; put it back. A changed copy of it elsewhere is a config of your own");
    }
  Settings settings = Settings::from_file(file);
  if (stored) fill_in_former_defaults(settings, file);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  return settings;
}

}  // namespace mneme
