// The fused CPU kernels (kernels/) for a memory network, where its rule and shapes are theirs.
#pragma once

#include <string>

#include "memory/mlp.h"
#include "mneme/memory.h"

namespace mneme::memory {

/// Why the fused kernels do not take such a call of a memory; empty where they do. Of `rule` only what is no tensor counts, and whether
/// forgetting leads to initial weights.
std::string why_not_fused(const MlpCall& rule, const CallShape& call);

/// Reads [B,H,T,D] of a call that they take; `weights` moves on. `input`: the call's rows as [B,H,T,·], whatever their strides, features
/// applied. Sweeps and the guard they take for whole refresh intervals: what a call has before and after those runs in tiles.
at::Tensor run_fused(const MlpCall& call, const MemoryInput& input, MlpWeights& weights);

}  // namespace mneme::memory
