// What model.kind = titans_pytorch fixes: the package has these conventions and no others (src/models/blocks/titans_pytorch.cpp).
#pragma once

#include "mneme/model_options.h"

namespace mneme {

/// The options with everything that the package does not leave open. Open: heads, head_width, depth, expansion, refresh, group,
/// momentum, forgetting, theta_max, the biases, qk_norm (rms | none), kernel, tile, off, frozen.
MemoryOptions titans_pytorch_memory(MemoryOptions options);

/// Options that were chosen, but are fixed to something else, or that the block does not have: as problems.
void check_titans_pytorch(const ModelOptions& model, const MemoryOptions& memory, Problems& problems);

}  // namespace mneme
