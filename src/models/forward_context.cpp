#include "mneme/forward_context.h"

#include <ATen/ATen.h>

namespace mneme {

ForwardContext ForwardContext::tokens(int64_t first, int64_t steps) const {
  return {{}, mask.defined() ? mask.narrow(1, first, steps) : mask, dropout, {}, probe};
}

ForwardContext ForwardContext::rows(const at::Tensor& index) const {
  return {{}, mask.defined() ? mask.index_select(0, index) : mask, dropout, {}, probe};
}

void ForwardContext::add_penalty(const ForwardContext& part, double share) {
  if (!part.penalty.defined()) return;
  const at::Tensor weighted = share == 1 ? part.penalty : part.penalty * share;
  penalty = penalty.defined() ? penalty + weighted : weighted;
}

}  // namespace mneme
