// The optimizer of a rule: how far and where a step goes, given the gradients of its tokens.
#pragma once

#include "memory/rule/part.h"

namespace mneme::rule {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Gates beside θ; in a group those of its last token count.
  virtual std::vector<Gate> gates() const { return {}; }
  /// θ of each token goes with its gradient, and `step` is given Σ θ_i ∇_i; else it is given Σ ∇_i, and takes θ of the last token itself.
  virtual bool weighs_tokens() const { return true; }
  /// θ [B,H,n,·] as it counts; `gates`: those of the group's last token, [B,H,1,·].
  virtual at::Tensor step_sizes(const at::Tensor& theta, const Tensors& /*gates*/) const { return theta; }
  /// What it keeps of each matrix, of the same shape, from zero.
  virtual std::vector<std::string> state() const { return {}; }
  /// What the retention takes from the state; `own`, what it keeps, moves on. Gates of this matrix, [B,H,1,1], θ among them.
  virtual at::Tensor step(const at::Tensor& gradient, const Tensors& gates, Tensors& own) const = 0;
};

using OptimizerRegistry = Registry<Plugin<Optimizer>>;

}  // namespace mneme::rule

namespace mneme {

/// Fills the registry with every file of src/memory/rule/optimizers/ (once; written by cmake/Layers.cmake).
void register_optimizers();

}  // namespace mneme
