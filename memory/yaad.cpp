// Yaad (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 16, 26): a Huber loss with a threshold δ of every token's own.
//
//   W_t = (1 − α_t) W_{t−1} − θ_t k gᵀ,   g: the slope of Huber's loss at k W_{t−1}, in three readings     src/memory/rule/losses/huber.cpp
//
// Starts at 0.
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_yaad(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("yaad", "a Huber loss with a threshold of every token's own (MIRAS)", {.loss = "huber", .learned_start = false}));
}

}  // namespace mneme
