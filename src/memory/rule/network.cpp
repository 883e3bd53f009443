#include "memory/rule/network.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace mneme::rule {
namespace {

at::Tensor scale_of(const at::Tensor& scales, size_t l) {
  return scales.size(3) == 1 ? scales : scales.narrow(3, int64_t(l), 1);
}

// The errors count as numbers, not as functions of the weights; what comes out is one of weights, keys and errors.
Matrices gradient_by_autograd(const Network& network, const Matrices& weights, const at::Tensor& keys, const at::Tensor& errors,
                              const at::Tensor& scales) {
  const bool outer = at::GradMode::is_enabled();
  at::AutoGradMode on(true);
  Matrices own, result;
  for (const at::Tensor& w : weights) own.push_back(outer && w.requires_grad() ? w.view_as(w) : w.detach().requires_grad_(true));
  const at::Tensor output = network.apply(own, keys);
  for (size_t l = 0; l < own.size(); ++l) {
    const at::Tensor g = torch::autograd::grad({output}, {own[l]}, {errors * scale_of(scales, l)}, true, outer, true)[0];
    result.push_back(g.defined() ? g : at::zeros_like(weights[l]));
  }
  return result;
}

}  // namespace

Matrices Network::gradient(const Matrices& weights, const at::Tensor& keys, const at::Tensor& errors, const at::Tensor& scales) const {
  const std::vector<Rows> closed = rows(weights, keys, errors);
  if (closed.empty()) return gradient_by_autograd(*this, weights, keys, errors, scales);
  Matrices result;
  for (size_t l = 0; l < closed.size(); ++l)
    result.push_back(at::matmul(closed[l].inputs.transpose(2, 3), closed[l].errors * scale_of(scales, l)));
  return result;
}

void check_widths_agree(const MemoryOptions& options, Problems& problems) {
  if (options.expand_v != 1) problems.add("memory.expand_v", "this network adds its output to its key; allowed: 1");
}

}  // namespace mneme::rule
