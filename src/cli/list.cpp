// mneme list: the plug-ins of this program, and the kernels of its memories.
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/program.h"
#include "cli/text_table.h"
#include "kernels/dispatch.h"
#include "memory/rule/loss.h"
#include "memory/rule/network.h"
#include "memory/rule/optimizer.h"
#include "memory/rule/retention.h"
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

struct ListedKernel {
  KernelFit kernel;
  std::vector<std::string> memories;
};

/// What the memories say of themselves, made small and with their defaults; kernels in the order in which they are asked.
std::vector<ListedKernel> listed_kernels() {
  std::vector<ListedKernel> all;
  for (const MemoryPlugin& plugin : MemoryRegistry::instance().all()) {
    MemoryOptions options;
    options.kind = plugin.name, options.own = plugin.options ? plugin.options() : nullptr;
    size_t after = 0;  // new ones go in front of what this memory asks later
    std::vector<KernelFit> kernels;
    try {
      kernels = plugin.make({options, 1, 8, 8, at::make_generator<at::CPUGeneratorImpl>(0)})->describe({}).kernels;
    } catch (const std::exception& error) {  // a rule from outside that cannot be so small
      fmt::print(stderr, "mneme: {} says nothing of its kernels: {}\n", plugin.name, error.what());
    }
    for (const KernelFit& kernel : kernels) {
      auto found = std::find_if(all.begin(), all.end(), [&](const ListedKernel& listed) { return listed.kernel.name == kernel.name; });
      if (found == all.end()) found = all.insert(all.begin() + ptrdiff_t(after), {kernel, {}});
      found->memories.push_back(plugin.name);
      after = size_t(found - all.begin()) + 1;
    }
  }
  return all;
}

void print_kernels() {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [kernel, memories] : listed_kernels()) {
    const bool every = memories.size() == MemoryRegistry::instance().all().size();
    rows.push_back({"  " + kernel.name, kernel.option, kernel.summary, every ? "every memory" : join(memories, ", ")});
  }
  fmt::print("kernels (memory.kernel; the first that takes a call runs it: mneme show memory CONFIG)\n{}", text_table(rows));
  std::vector<std::string> engines;
  for (const kernels::Engine* e : kernels::engines()) engines.push_back(e->name);
  fmt::print("  instruction set of the fused kernels: {} of {} (MNEME_ISA chooses)\n", kernels::engine().name, join(engines, ", "));
}

void print_rules() {
  print_plugins("networks of a rule (memory.miras.network)", rule::NetworkRegistry::instance());
  print_plugins("inner losses (memory.miras.loss)", rule::LossRegistry::instance());
  print_plugins("retentions (memory.miras.retention)", rule::RetentionRegistry::instance());
  print_plugins("optimizers (memory.miras.optimizer)", rule::OptimizerRegistry::instance());
}

void print_kind(const std::string& kind) {
  if (kind == "rules") return print_rules();
  if (kind == "kernels") return print_kernels();
  if (kind == "models") return print_plugins("models (model.kind)", BlockRegistry::instance());
  if (kind == "memories") return print_plugins("memories (memory.kind)", MemoryRegistry::instance());
  if (kind == "tasks") return print_plugins("tasks (task.kind)", TaskRegistry::instance());
  throw UsageError(fmt::format("mneme list knows models, memories, rules, tasks and kernels, not '{}'{}", kind,
                               did_you_mean(kind, {"models", "memories", "rules", "tasks", "kernels"})));
}

}  // namespace

Command list_command() {
  Command command;
  command.name = "list";
  command.summary = "list the models, memories, parts of rules, tasks and kernels there are";
  command.usage = "[models|memories|rules|tasks|kernels]";
  command.details = "Lists the registered plug-ins, one line each, and the kernels of memories; options: mneme options.";
  command.example = "mneme list tasks";
  command.run = [](const CommandLine& line) {
    line.refuse_overrides();
    if (!line.names().empty()) {
      print_kind(line.only_name("kind"));
      return 0;
    }
    for (const char* kind : {"models", "memories", "rules", "tasks", "kernels"}) print_kind(kind);
    return 0;
  };
  return command;
}

}  // namespace mneme
