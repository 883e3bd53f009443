#include "memory/kernel_table.h"

#include <ATen/core/Tensor.h>

namespace mneme::memory {

CallShape shape_of(const MemoryInput& in) {
  const bool rows = in.key.numel() > 0;  // a batch of none has no tokens
  return {rows ? in.key.size(2) : 0, in.key.scalar_type(), in.key.device().is_cpu(), in.step.defined(), in.losses != nullptr || in.probe != nullptr};
}

std::vector<KernelFit> loop_kernel(const MemoryOptions& options, const CallShape& call) {
  using Loop = Kernel<MemoryOptions, void()>;
  static const std::vector<Loop> table{{"reference", "the loop over tokens: the definition", "reference", always, nullptr}};
  return fits(table, options.kernel, options, call);
}

}  // namespace mneme::memory
