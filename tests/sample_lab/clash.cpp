#include "mneme/memory.h"

namespace mneme {
void register_memory_clash(MemoryRegistry& registry) { registry.add({.name = "linear", .summary = "a name that is taken", .make = {}}); }
}  // namespace mneme
