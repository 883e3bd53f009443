#include "memory/network_kernels.h"

#include <ATen/ATen.h>

namespace mneme::memory {

const KernelTable<NetworkCall, NetworkRun>& network_kernels() {
  static const KernelTable<NetworkCall, NetworkRun> table{
      {"fused", "hand-written CPU kernel, float32: one matrix, or two", "fused", why_not_fused, network_fused},
      {"linear tiles", "tiles of one matrix with exact gradients, all solved at once", "chunked", why_not_linear, network_linear},
      {"chunked", "tiles of matrix products", "chunked", always, network_chunked},
      {"reference", "the loop over tokens: the definition", "reference", why_not_reference, network_reference}};
  return table;
}

void begin_interval(const NetworkCall& rule, NetworkWeights& w) {
  w.refresh_point = w.weights;
  if (rule.gradient != Gradient::refresh) w.refresh_point.resize(rule.net.depth - 1);
  for (at::Tensor& load : w.load) load = at::zeros_like(load);
  for (auto& weights : w.sweep_weights) weights = w.weights;
  for (auto& momentum : w.sweep_momentum) momentum = w.momentum;
}

}  // namespace mneme::memory
