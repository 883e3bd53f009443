#include <filesystem>

#include "base/text.h"
#include "config/plugins.h"
#include "config/sections.h"
#include "io/sha256.h"

namespace mneme {

std::string canonical_ini(const Config& config) {
  std::string text;
  for (const Section& section : sections_of(config)) {
    text += (text.empty() ? "[" : "\n[") + section.name + "]\n";
    for (const Field& field : fields_of(section)) {
      const std::string value = field.files != nullptr ? field.text() : quoted_value(field.text());
      text += field.key.substr(section.name.size() + 1) + " =" + (value.empty() ? "" : " " + value) + "\n";
    }
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> flat_values(const Config& config) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Section& section : sections_of(config))
    for (const Field& field : fields_of(section)) values.push_back({field.key, field.text()});
  return values;
}

std::vector<NamedPath> data_files(const Config& config) {
  std::vector<NamedPath> files;
  for (const Section& section : sections_of(config))
    for (const Field& field : fields_of(section))
      if (field.files != nullptr)
        for (const std::string& path : *field.files) files.push_back({field.key, path});
  return files;
}

std::map<std::string, std::string> data_digests(const Config& config) {
  std::map<std::string, std::string> digests;
  std::error_code ignored;
  for (const NamedPath& file : data_files(config))
    if (std::filesystem::exists(file.path, ignored)) digests[file.path] = path_digest(file.path);
  return digests;
}

std::vector<OptionHelp> option_help(const std::string& prefix) {
  std::vector<OptionHelp> list;
  const auto add = [&](const Section& section) {
    for (const Field& field : fields_of(section))
      if (field.key.rfind(prefix, 0) == 0)
        list.push_back({field.key, field.type, field.text(), field.range, field.help});
  };
  Config defaults;
  for (const Section& section : sections_of(defaults)) {
    add(section);
    if (section.name == "task")
      for (const TaskPlugin& plugin : TaskRegistry::instance().all()) add({"task." + plugin.name, std::shared_ptr<Options>(plugin.options()).get()});
    if (section.name != "model" && section.name != "memory") continue;
    for (const KnownPlugin& plugin : section.name == "model" ? known_blocks() : known_memories())
      if (plugin.options) add({section.name + "." + plugin.name, plugin.options().get()});
  }
  return list;
}

}  // namespace mneme
