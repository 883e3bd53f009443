// Input rows and error rows of every fast weight for given keys and values: what the gradient of the inner loss is made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "memory/network.h"

namespace mneme::memory {

struct InnerGradient {
  std::vector<at::Tensor> inputs;  ///< A_l [N,C,·] of each matrix
  std::vector<Hidden> hidden;      ///< between them
  std::vector<at::Tensor> deltas;  ///< Δ_l [N,C,·]; after the matrices that of a fast gain: its gradient itself
  at::Tensor output;               ///< M(k) [N,C,D] where the gradient is taken
};

/// Features of the keys through all matrices but the last.
InnerGradient key_features(const Network& net, const at::Tensor& key, const std::vector<at::Tensor>& weights);

/// Adds the error rows, all at `weights` (with the last matrix) and `gain`. `fast_gain`: also the gain's.
void error_rows(const Network& net, const at::Tensor& key, const at::Tensor& value, const std::vector<at::Tensor>& weights,
                const at::Tensor& gain, bool fast_gain, InnerGradient& g);

/// Given the last matrix's Δ and the error before it, `back` [N,C,·] (rows of Δ_L W_Lᵀ): the error rows of the lower matrices.
void lower_error_rows(const Network& net, const at::Tensor& back, const std::vector<at::Tensor>& weights, InnerGradient& g);

/// ‖u‖² [N,C] of each token over all fast weights.
at::Tensor squared_gradient(const InnerGradient& g);

}  // namespace mneme::memory
