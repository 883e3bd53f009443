// Groups of tokens that form one step of the recurrence (network_kernels.h): their α and η stand at their last token.
#pragma once

#include <ATen/ATen.h>

namespace mneme::memory {

/// At each token, along `dim`, what stands at the last token of its group. Tokens start at a group's first one; of an unfinished
/// group, which is not written, the last token there is.
inline at::Tensor at_group_end(const at::Tensor& gates, int64_t dim, int64_t group) {
  const int64_t T = gates.size(dim);
  if (group == 1 || T == 0) return gates;
  const at::Tensor token = at::arange(T, gates.options().dtype(at::kLong));
  return gates.index_select(dim, (token.div(group, "floor") * group + group - 1).clamp_max(T - 1));
}

}  // namespace mneme::memory
