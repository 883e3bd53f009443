// No memory: the block runs without a memory branch. For memory layers switched off by configuration; the ablation of the
// tables is `memory.off`, which keeps every parameter.
#include "mneme/memory.h"

namespace mneme {

void register_memory_none(MemoryRegistry& registry) {
  registry.add({"none", "no memory branch at all", [](const MemoryContext&) { return std::shared_ptr<Memory>(); }});
}

}  // namespace mneme
