// Averages over the running group of a memory (memory.group tokens), across calls.
#pragma once

#include "mneme/state.h"

namespace mneme {

/// rows [B,T,n], weight [B,T,n] ≥ 0 → [B,T,n]: at a group's last token Σ weight · row / Σ weight over its tokens; elsewhere what this
/// call knows of the token's group. `state` holds the sums of an unfinished group; its position counts the tokens.
at::Tensor group_average(const at::Tensor& rows, const at::Tensor& weight, int64_t group, State& state);

}  // namespace mneme
