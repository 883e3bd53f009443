// The fused CPU kernels (kernels/) for a memory network, where its rule and shapes are theirs.
#pragma once

#include <optional>

#include "memory/mlp.h"
#include "mneme/memory.h"

namespace mneme::memory {

/// Reads [B,H,T,D] and `weights` moved on, or nothing where the kernels do not fit and nothing was done. `input`: the call's rows as
/// [B,H,T,·], whatever their strides, features applied.
std::optional<at::Tensor> run_fused(const MlpCall& call, const MemoryInput& input, MlpWeights& weights);

}  // namespace mneme::memory
