// Moneta (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 24): an ℓp loss whose steps are kept in A; the map is a link of A.
// Published: (p, q) = (3, 4).
//
//   l(W; k, v) = Σ |e|^p,  e = k W − v                                 src/memory/rule/losses/lp.cpp
//   A_t = (1 − α_t) A_{t−1} − θ_t ∇l(link(A_{t−1}))                     src/memory/rule/retentions/link.cpp
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_moneta(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("moneta", "an lp loss, and the map a link of its steps (MIRAS)", {.loss = "lp", .retention = "link"}));
}

}  // namespace mneme
