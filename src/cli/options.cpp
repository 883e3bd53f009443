// mneme options: every config key with type, default, range and one line of help.
#include <fmt/format.h>

#include "config/config.h"
#include "base/text.h"
#include "cli/program.h"
#include "cli/text_table.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

std::string unknown_prefix(const std::string& prefix) {
  std::vector<std::string> keys;
  for (const OptionHelp& option : option_help()) {
    keys.push_back(option.key);
    const std::string section = option.key.substr(0, option.key.rfind('.'));
    if (keys.size() == 1 || keys[keys.size() - 2] != section) keys.push_back(section);
  }
  return fmt::format("no option begins with '{}'{}", prefix, did_you_mean(prefix, keys));
}

}  // namespace

Command options_command() {
  Command command;
  command.name = "options";
  command.summary = "list config options with type, default, range and help";
  command.usage = "[PREFIX]";
  command.details = "Lists the options whose key begins with PREFIX, plug-ins' sections included; all of them without.";
  command.example = "mneme options train.";
  command.run = [](const CommandLine& line) {
    line.refuse_overrides();
    const std::string prefix = line.names().empty() ? "" : line.only_name("PREFIX");
    const std::vector<OptionHelp> options = option_help(prefix);
    if (options.empty()) throw UsageError(unknown_prefix(prefix));
    std::vector<std::vector<std::string>> rows{{"key", "type", "default", "range", "help"}};
    for (const OptionHelp& option : options)
      rows.push_back({option.key, option.type, option.default_value.empty() ? "-" : option.default_value,
                      option.range.empty() ? "-" : option.range, option.help});
    fmt::print("{}", text_table(rows));
    return 0;
  };
  return command;
}

}  // namespace mneme
