// The network of a rule: what the fast weights W make of a key, M(k; W), and the gradient of a loss with respect to them.
//
// A matrix that the keys pass once has a closed form: with its input rows A and the error rows Δ behind it, a token's gradient is Aᵀ Δ.
// A network that gives no such rows is differentiated by autograd: a second pass through M for every matrix, kept whole for the outer
// gradients, some times slower.
#pragma once

#include "memory/rule/part.h"

namespace mneme::rule {

class Network {
 public:
  virtual ~Network() = default;
  struct Matrix {
    std::string name;    ///< "in", "out"; of one matrix: ""
    at::Tensor initial;  ///< [H,in,out]
  };
  /// The fast matrices and what they start from.
  virtual std::vector<Matrix> matrices() const = 0;
  /// M of rows [B,H,n,K] → [B,H,n,V].
  virtual at::Tensor apply(const Matrices& weights, const at::Tensor& rows) const = 0;
  /// Squared length of the last matrix's input rows where keys have length 1: what bounds a stable step.
  virtual double input_square() const { return 1; }

  /// A and Δ of each matrix, [B,H,n,in] and [B,H,n,out].
  struct Rows {
    at::Tensor inputs, errors;
  };
  /// `errors` [B,H,n,V]: slopes of the loss at M(k). None: there is no closed form.
  virtual std::vector<Rows> rows(const Matrices& /*weights*/, const at::Tensor& /*keys*/, const at::Tensor& /*errors*/) const { return {}; }

  /// Σ_i s_li ∂(errors_i · M(k_i))/∂W_l of each matrix; `scales` s [B,H,n,1 or matrices].
  Matrices gradient(const Matrices& weights, const at::Tensor& keys, const at::Tensor& errors, const at::Tensor& scales) const;
};

using NetworkRegistry = Registry<Plugin<Network>>;

/// For networks that add their output to their key.
void check_widths_agree(const MemoryOptions& options, Problems& problems);

}  // namespace mneme::rule

namespace mneme {

/// Fills the registry with every file of src/memory/rule/networks/ (once; written by cmake/Layers.cmake).
void register_networks();

}  // namespace mneme
