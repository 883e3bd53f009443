// Elastic net retention (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 22): what is small is forgotten altogether.
//
//   W_t = soft_γ((1 − α_t) W_{t−1} − θ_t ∇),   ∇ = 2 k eᵀ,  e = k W_{t−1} − v                              src/memory/rule/retentions/elastic.cpp
//
// Starts at 0.
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_elastic(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("elastic", "elastic net retention: every token takes a little of every weight (MIRAS)",
                                   {.retention = "elastic", .learned_start = false}));
}

}  // namespace mneme
