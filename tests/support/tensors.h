// Seeded random tensors and comparisons for tests. fp64 unless said.
#pragma once

#include "tests/support/test.h"

#include <functional>
#include <vector>

namespace mneme::test {

inline at::Tensor normal(at::IntArrayRef sizes, at::ScalarType dtype = at::kDouble) { return at::randn(sizes, at::TensorOptions().dtype(dtype)); }
inline at::Tensor uniform(at::IntArrayRef sizes, double low, double high, at::ScalarType dtype = at::kDouble) {
  return at::rand(sizes, at::TensorOptions().dtype(dtype)) * (high - low) + low;
}
inline at::Tensor leaf(at::Tensor x) { return x.detach().clone().requires_grad_(true); }

/// Largest |a − b| over largest |b| (at least 1).
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return 1e30;
  if (a.numel() == 0) return 0;
  const double scale = std::max(1.0, b.abs().max().item<double>());
  const double error = (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() / scale;
  return std::isfinite(error) ? error : 1e30;
}

using Function = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Outputs of f and the gradients of one fixed random projection of them, by input.
struct Derived {
  std::vector<at::Tensor> outputs, gradients;
};
inline Derived derive(const Function& f, const std::vector<at::Tensor>& values) {
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& v : values) inputs.push_back(leaf(v));
  Derived r;
  r.outputs = f(inputs);
  at::Tensor sum;
  for (size_t i = 0; i < r.outputs.size(); ++i) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(17 + i);
    const at::Tensor weight = at::empty(r.outputs[i].sizes(), at::kDouble).normal_(0, 1, generator).to(r.outputs[i].scalar_type());
    const at::Tensor term = (r.outputs[i] * weight).sum();
    sum = sum.defined() ? sum + term : term;
  }
  r.gradients = torch::autograd::grad({sum}, inputs, {}, false, false, true);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!r.gradients[i].defined()) r.gradients[i] = at::zeros_like(inputs[i]);
  return r;
}

/// Same outputs, same gradients.
inline void require_same(const Function& f, const Function& oracle, const std::vector<at::Tensor>& values, double forward, double backward) {
  const Derived a = derive(f, values), b = derive(oracle, values);
  REQUIRE(a.outputs.size() == b.outputs.size());
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    INFO("output " << i);
    REQUIRE(relative_error(a.outputs[i], b.outputs[i]) <= forward);
  }
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    INFO("gradient of input " << i);
    REQUIRE(relative_error(a.gradients[i], b.gradients[i]) <= backward);
  }
}

constexpr double kExact = 1e-12;          // fp64: outputs and states
constexpr double kExactGradient = 1e-10;  // fp64: outer gradients
constexpr double kSingle = 2e-5;          // fp32 against fp64

}  // namespace mneme::test
