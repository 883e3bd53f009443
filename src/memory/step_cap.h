// A bound on every step by what the same token's forgetting takes away (the step cap of VisionHOPE):
//
//   h_inj = (1 − a) / r,   h̄ = h_inj (1 − e^{−h / h_inj})         h: the write gate; a: what is kept; r: memory.step_cap
//
// h̄ < h and h̄ < (1 − a)/r, so that what is written again and again adds up to less than 1/r of itself (with undamped
// momentum to more, and rwkv7 has a share that no gate writes); h̄ ≈ h where h is small against
// that. a is 1 − alpha, or e^decay; of a gate per channel the largest.
#pragma once

#include "mneme/memory.h"

namespace mneme {

/// A problem where the memory has no gate that writes, or none that forgets.
void check_step_cap(const MemoryOptions& options, const std::vector<Gate>& gates, Problems& problems);
/// The gates that write, capped; r > 0.
void cap_steps(const std::vector<Gate>& gates, double r, MemoryInput& input);

}  // namespace mneme
