// How attention and memory become one output:
//
//   product       o = norm(a) ⊗ norm(m)                          both normalised by learned vectors, as published
//   product+sum   o = norm(a) ⊗ norm(m) + norm(a) + norm(m)      own: with the residuals that a product alone lacks
//   sum           o = g ⊙ norm(a) + (1 − g) ⊙ norm(m),           g = σ(x W); own
#pragma once

#include "mneme/model.h"

namespace mneme {

class Combination {
 public:
  Combination() = default;
  /// Registers `attention_norm`, `memory_norm` and, for the sum, `mix` as parameters of the block.
  Combination(Block& block, const BlockContext& context);

  at::Tensor near(const at::Tensor& attention) const;
  /// All [B,T,C]; x: the block's input, near: normalised already.
  at::Tensor join(const at::Tensor& x, const at::Tensor& near, const at::Tensor& memory) const;

 private:
  bool residual_ = false;  // product+sum
  at::Tensor attention_norm_, memory_norm_, mix_;
};

}  // namespace mneme
