// Atlas (Behrouz et al., arXiv 2505.23735): the Omega rule's window (memory/omega.cpp), its momentum and Muon's step.
//
//   S_t = η_t S_{t−1} + G_t           G_t: the gradient of the window's loss, src/memory/rule/window.h; squares, factor 2
//   M_t = (1 − α_t) M_{t−1} − θ_t NS5(S_t)                                        src/memory/rule/optimizers/muon.cpp
//
// Printed with the signs of an ascent (eqs. 28, 30): this is the descent. memory.momentum = false: S_t = G_t. Starts at 0.
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_atlas(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("atlas", "the Omega rule with momentum and Muon's step",
                                   {.optimizer = "muon", .windowed = true, .window = 4, .learned_start = false}));
}

}  // namespace mneme
