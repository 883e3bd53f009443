// The allocator of this process. The program links jemalloc where it is installed: calls of the same shapes find the same blocks
// again, so a long row takes no more memory than a short one, and training no page faults. Without it, glibc's malloc is told to
// keep what is freed; its heap then grows by some per cent over long rows (docs/training.md).
#pragma once

#include <string>

namespace mneme {

/// Freed blocks stay with the process: activations are wanted again in the next step. Once, before much is allocated.
void keep_freed_blocks();

/// Gives the system back what this process has freed but keeps: what one phase leaves would count as memory of the next.
void release_free_memory();

/// "jemalloc 5.3.0" or "glibc 2.36".
std::string allocator_description();

}  // namespace mneme
