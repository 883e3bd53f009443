// The retention of a rule: what a fast matrix keeps from step to step, as a map (state, step) → next state; and the weights that a state
// stands for, which may be another thing (a link of it, a softmax).
#pragma once

#include "memory/rule/part.h"

namespace mneme::rule {

class Retention {
 public:
  virtual ~Retention() = default;
  /// Name of the state in files: what it holds.
  virtual std::string state_name() const { return "weights"; }
  /// The parameter that a state starts from, of the network's initial weights [H,in,out].
  virtual at::Tensor parameter(const at::Tensor& weights, const at::Generator& /*generator*/) const { return weights; }
  /// The state of a fresh row, of that parameter [1,H,in,out].
  virtual at::Tensor begin(const at::Tensor& parameter) const { return parameter; }
  /// What the network works with.
  virtual at::Tensor weights(const at::Tensor& state) const { return state; }
  /// Forgetting leads to the state of a fresh row: `next` is given it, else nothing.
  virtual bool returns_to_start() const { return false; }
  /// The state after a step down. `alpha` [B,H,1,1]: what is forgotten; undefined: nothing.
  virtual at::Tensor next(const at::Tensor& state, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor& initial) const = 0;

 protected:
  /// (1 − α) x
  static at::Tensor kept(const at::Tensor& x, const at::Tensor& alpha) { return alpha.defined() ? x * (1 - alpha) : x; }
};

using RetentionRegistry = Registry<Plugin<Retention>>;

}  // namespace mneme::rule

namespace mneme {

/// Fills the registry with every file of src/memory/rule/retentions/ (once; written by cmake/Layers.cmake).
void register_retentions();

}  // namespace mneme
