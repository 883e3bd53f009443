// Own options of blocks and memories: what the layer of configs is told of them, whose registries it cannot see, and setting them by name.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "config/config.h"
#include "config/fields.h"
#include "memory/gates.h"
#include "memory/step_cap.h"
#include "mneme/memory.h"
#include "mneme/model.h"

namespace mneme {
namespace {

// What the memories of a block say of the easiest call there is: one that is long, of whole tokens, without measurements.
void check_kernel(const BlockPlugin& plugin, const ModelOptions& model, const MemoryOptions& memory, const RuntimeOptions& runtime, Problems& problems) {
  if (memory.kernel == "auto") return;
  const int64_t layer = model.memory_layers.empty() ? 0 : model.memory_layers.front();
  const auto block = plugin.make({model, memory, layer, at::make_generator<at::CPUGeneratorImpl>(0)});
  const CallShape easiest{.tokens = int64_t{1} << 30, .dtype = runtime.dtype == "float64" ? at::kDouble : at::kFloat, .cpu = runtime.device == "cpu",
                          .measured = memory.cache > 0};  // the cache is filled by losses
  for (const auto& module : block->modules()) {
    const auto* found = dynamic_cast<const Memory*>(module.get());
    if (!found) continue;
    const std::vector<KernelFit> kernels = found->describe(easiest).kernels;
    std::string there, why;
    bool runs = kernels.empty();
    for (const KernelFit& kernel : kernels) {
      if (there.find(kernel.option) == std::string::npos) there += " | " + kernel.option;
      if (kernel.option != memory.kernel) continue;
      runs = runs || kernel.why_not.empty();
      if (why.empty()) why = kernel.why_not;
    }
    if (runs) continue;
    problems.add("memory.kernel", why.empty() ? "memory.kind = " + memory.kind + " has no such kernel; allowed: auto" + there
                                              : "it never runs here: " + why + "; set memory.kernel = auto, or change that (mneme show memory CONFIG)");
    return;
  }
}

}  // namespace

void make_plugins_known() {
  register_memories();
  register_blocks();
  std::vector<KnownPlugin> blocks, memories;
  for (const BlockPlugin& block : BlockRegistry::instance().all())
    blocks.push_back({.name = block.name, .options = block.options, .check = block.check,
                      .check_kernel = [block](const ModelOptions& model, const MemoryOptions& memory, const RuntimeOptions& runtime,
                                              Problems& problems) { check_kernel(block, model, memory, runtime, problems); },
                      .has_memory = block.has_memory, .former = block.former});
  for (const MemoryPlugin& memory : MemoryRegistry::instance().all()) {
    KnownPlugin known{.name = memory.name, .options = memory.options, .at_test_time = memory.at_test_time};
    known.check = [memory](const ModelOptions&, const MemoryOptions& options, Problems& problems) {
      if (memory.check) memory.check(options, problems);
      if (options.step_cap <= 0 && options.fixed_gates.empty()) return;
      // A small one: its gates are the same.
      const std::vector<Gate> gates = memory.make({options, 1, 8, 8, at::make_generator<at::CPUGeneratorImpl>(0)})->gates();
      if (options.step_cap > 0) check_step_cap(options, gates, problems);
      check_fixed_gates(options, gates, problems);
    };
    memories.push_back(std::move(known));
  }
  set_known_plugins(std::move(blocks), std::move(memories));
}

namespace {

template <class Plugin>
void set_own(const Plugin& plugin, std::shared_ptr<Options>& own, const std::string& name, const std::string& text) {
  if (!own && plugin.options) own = plugin.options();
  std::string names;
  if (own)
    for (Field& field : fields_of(*own, "")) {
      if (field.key == name) {
        if (const std::string wrong = field.parse(text); !wrong.empty()) throw ConfigError(plugin.name + "." + name + " = " + text + ": " + wrong);
        return;
      }
      names += (names.empty() ? "" : ", ") + field.key;
    }
  throw ConfigError(plugin.name + "." + name + ": there is no such option; " + (names.empty() ? "it has none" : "there are " + names));
}

}  // namespace

void set_own(MemoryOptions& options, const std::string& name, const std::string& text) {
  set_own(MemoryRegistry::instance().get(options.kind), options.own, name, text);
}

void set_own(ModelOptions& options, const std::string& name, const std::string& text) {
  set_own(BlockRegistry::instance().get(options.kind), options.own, name, text);
}

}  // namespace mneme
