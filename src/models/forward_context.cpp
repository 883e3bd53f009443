#include "mneme/forward_context.h"

#include <ATen/ATen.h>

namespace mneme {

ForwardContext ForwardContext::tokens(int64_t first, int64_t steps) const {
  auto part = [&](const at::Tensor& flags) { return flags.defined() ? flags.narrow(1, first, steps) : flags; };
  return {{}, part(mask), part(write), dropout, {}, probe, surprise};
}

ForwardContext ForwardContext::rows(const at::Tensor& index) const {
  auto part = [&](const at::Tensor& flags) { return flags.defined() ? flags.index_select(0, index) : flags; };
  return {{}, part(mask), part(write), dropout, {}, probe};
}

at::Tensor ForwardContext::steps() const {
  if (!mask.defined() || !write.defined()) return mask.defined() ? mask : write;
  return mask & write;
}

void ForwardContext::add_surprise(int64_t layer, const at::Tensor& losses) {
  at::Tensor& all = (*surprise)["layer" + std::to_string(layer)];
  all = all.defined() ? at::cat({all, losses}, 2) : losses;
}

void ForwardContext::add_penalty(const ForwardContext& part, double share) {
  if (!part.penalty.defined()) return;
  const at::Tensor weighted = share == 1 ? part.penalty : part.penalty * share;
  penalty = penalty.defined() ? penalty + weighted : weighted;
}

}  // namespace mneme
