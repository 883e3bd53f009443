// The inner loss of a rule: what a token's output M(k) costs beside its value v, and its slope there.
#pragma once

#include "memory/rule/part.h"

namespace mneme::rule {

class Loss {
 public:
  virtual ~Loss() = default;
  /// Gates of its own, a number per token and head.
  virtual std::vector<Gate> gates() const { return {}; }

  struct Value {
    at::Tensor loss;   ///< [B,H,n]
    at::Tensor slope;  ///< ∂loss/∂M(k), [B,H,n,V]
  };
  /// outputs, values [B,H,n,V]; gates [B,H,n,1] by name.
  virtual Value of(const at::Tensor& outputs, const at::Tensor& values, const Tensors& gates) const = 0;
};

using LossRegistry = Registry<Plugin<Loss>>;

}  // namespace mneme::rule

namespace mneme {

/// Fills the registry with every file of src/memory/rule/losses/ (once; written by cmake/Layers.cmake).
void register_losses();

}  // namespace mneme
