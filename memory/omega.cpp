// Omega rule (OmegaNet; Behrouz et al., arXiv 2505.23735): every step goes down the loss of a window of tokens, not of the last one alone.
//
//   M_t = (1 − α_t) M_{t−1} − θ_t G_t,   G_t = Σ_{i=t−c+1..t} γ_i^(t) ∇‖φ(k_i) M_{t−1} − v_i‖²        src/memory/rule/window.h; squares, factor 2
//
// φ: the key, or its polynomial features (src/memory/rule/networks/linear.cpp). Printed with the signs of an ascent (eqs. 11, 20): this is the
// descent. c = 1 is the delta rule. θ is at most theta_max / (c ‖φ‖²) of unit keys, ‖φ‖² = 2.5 of polynomial features as they start: the
// window's tokens may be one and the same, and the step stays stable. Starts at 0.
#include "memory/rule_memory.h"

namespace mneme {

void register_memory_omega(MemoryRegistry& registry) {
  registry.add(memory::rule_plugin("omega", "the Omega rule: steps down the loss of a window of tokens",
                                   {.windowed = true, .window = 4, .learned_start = false}));
}

}  // namespace mneme
