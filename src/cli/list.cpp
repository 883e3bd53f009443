// mneme list: the plug-ins of this program.
#include <fmt/format.h>

#include "base/text.h"
#include "cli/program.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "mneme/memory.h"
#include "mneme/model.h"
#include "mneme/task.h"

namespace mneme {
namespace {

template <class Plugin>
void print_plugins(const char* heading, const Registry<Plugin>& registry) {
  std::vector<std::vector<std::string>> rows;
  for (const Plugin& plugin : registry.all()) rows.push_back({"  " + plugin.name, plugin.summary});
  fmt::print("{}\n{}", heading, text_table(rows));
}

void print_kind(const std::string& kind) {
  if (kind == "models") return print_plugins("models (model.kind)", BlockRegistry::instance());
  if (kind == "memories") return print_plugins("memories (memory.kind)", MemoryRegistry::instance());
  if (kind == "tasks") return print_plugins("tasks (task.kind)", TaskRegistry::instance());
  throw UsageError(fmt::format("mneme list knows models, memories and tasks, not '{}'{}", kind,
                               did_you_mean(kind, {"models", "memories", "tasks"})));
}

}  // namespace

Command list_command() {
  Command command;
  command.name = "list";
  command.summary = "list the models, memories and tasks there are";
  command.usage = "[models|memories|tasks]";
  command.details = "Lists the registered plug-ins, one line each; their options: mneme options.";
  command.example = "mneme list tasks";
  command.run = [](const CommandLine& line) {
    line.refuse_overrides();
    if (!line.names().empty()) {
      print_kind(line.only_name("kind"));
      return 0;
    }
    for (const char* kind : {"models", "memories", "tasks"}) print_kind(kind);
    return 0;
  };
  return command;
}

}  // namespace mneme
