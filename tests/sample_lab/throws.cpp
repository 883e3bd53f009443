#include "mneme/memory.h"

namespace mneme {
void register_memory_throws(MemoryRegistry&) { throw std::runtime_error("the lab's licence has run out"); }
}  // namespace mneme
