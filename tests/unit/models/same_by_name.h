// Two ways to compute the same from the parameters of one module: outputs, and the gradients of every parameter by name.
#pragma once

#include "tests/unit/models/by_hand.h"

namespace mneme::test {

struct Computed {
  at::Tensor y, penalty;  ///< penalty: added to the loss where defined
};

/// Largest |a − b| over largest |b|: small outputs and gradients must be right too.
inline double scaled_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return 1e30;
  const double error = (a - b).abs().max().item<double>() / std::max(b.abs().max().item<double>(), 1e-12);
  return std::isfinite(error) ? error : 1e30;
}

/// `found` and `expected` as functions of the input x; `silent`: parameters that nothing depends on, all others must matter.
template <class Found, class Expected>
void require_same_by_name(const torch::nn::Module& module, const at::Tensor& values, const Found& found, const Expected& expected,
                          const std::function<bool(const std::string&)>& silent = [](const std::string&) { return false; }) {
  std::vector<std::string> names{"x"};
  std::vector<at::Tensor> inputs{leaf(values)};
  for (const auto& p : module.named_parameters()) names.push_back(p.key()), inputs.push_back(p.value());
  auto derived = [&](const auto& f) {
    Computed c = f(inputs[0]);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(23);
    at::Tensor loss = (c.y * at::empty_like(c.y).normal_(0, 1, generator)).sum();
    if (c.penalty.defined()) loss = loss + c.penalty;
    const auto gradients = torch::autograd::grad({loss}, inputs, {}, false, false, true);
    return std::make_pair(c, gradients);
  };
  const auto [a, of_a] = derived(found);
  const auto [b, of_b] = derived(expected);
  const double error = scaled_error(a.y, b.y);
  REQUIRE(error <= kExact);
  REQUIRE(a.penalty.defined() == b.penalty.defined());
  if (a.penalty.defined()) REQUIRE(scaled_error(a.penalty, b.penalty) <= kExact);
  for (size_t i = 0; i < names.size(); ++i) {
    INFO(names[i]);
    auto or_zero = [&](const at::Tensor& g) { return g.defined() ? g : at::zeros_like(inputs[i]); };
    const at::Tensor mine = or_zero(of_a[i]), right = or_zero(of_b[i]);
    REQUIRE((right.abs().max().item<double>() > 1e-9) == !silent(names[i]));
    REQUIRE(scaled_error(mine, right) <= kExactGradient);
  }
}

}  // namespace mneme::test
