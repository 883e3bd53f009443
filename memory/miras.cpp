// Any point on the four axes of MIRAS (Behrouz et al., arXiv 2504.13173): network × inner loss × retention × optimizer, and a window of tokens
// (src/memory/rule_memory.h). memory.miras.network, .loss, .retention, .optimizer name the parts, files below src/memory/rule/; their own
// options stand behind their names, memory.miras.lp.p. The default is the delta rule with forgetting.
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_miras(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("miras", "any network, inner loss, retention and optimizer (MIRAS)", {.windowed = true, .open = true}));
}

}  // namespace mneme
