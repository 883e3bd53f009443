// Memora (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 21, 27): weights that are positive and sum to c, retained by relative entropy.
//
//   W_t = c softmax((1 − α_t) log W_{t−1} − θ_t ∇),   ∇ = 2 k eᵀ,  e = k (W_{t−1} − w) − v                 src/memory/rule/retentions/softmax.cpp
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_memora(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("memora", "positive weights of a fixed sum: the steps go through a softmax (MIRAS)", {.retention = "softmax"}));
}

}  // namespace mneme
