// SwiGLU feed-forward (Shazeer 2020, arXiv 2002.05202): y = (SiLU(x W_g) ⊙ x W_u) W_d.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

namespace mneme::nn {

/// Width of the hidden layer when a config says 0: 8/3 of the model width, rounded up to a multiple of 64.
int64_t default_hidden(int64_t width);

/// x [...,2h], gate in the first half → SiLU(gate) ⊙ value [...,h]. Fused; keeps x only.
at::Tensor swiglu(const at::Tensor& x);
at::Tensor swiglu_reference(const at::Tensor& x);

class FeedForward : public torch::nn::Module {
 public:
  FeedForward(int64_t width, int64_t hidden, at::Generator generator);
  /// x [...,C] → [...,C]
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor up_;    // [2h, C]: gate rows, then value rows
  at::Tensor down_;  // [C, h]
};

}  // namespace mneme::nn
