// The network M of a memory, a chain of matrices W_1 … W_L with an activation between them, and its closed-form gradient.
//
//   plain           M(k) = O                    O = φ(… φ(k W_1) …) W_L           depth 1: the linear memory
//   feature         M(k) = k + O                φ = unit(gelu): hidden rows of length 1; error rows below the last layer ≤ 1
//   residual+norm   M(k) = k + LN(O) ⊙ (1 + γ)  LayerNorm, eps 1e-5, no bias; γ slow, or a fast weight (TTT, titans-pytorch)
//
// Inner losses, e = M(k) − v:  l2 ‖e‖² · l2_mean ‖e‖²/D · dot −⟨M(k), v⟩ · huber ‖e‖² up to ‖e‖ = δ, then 2δ‖e‖ − δ².
// Inner gradients are closed form: the gradient of token i for a matrix is A_iᵀ Δ_i (A: its input row, Δ: the error row behind it).
//
// Shapes: N = batch rows × heads, T tokens, D head width, E hidden width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace mneme::memory {

enum class Form { plain, feature, residual_norm };
enum class Activation { gelu, gelu_sigmoid };
enum class InnerLoss { l2, l2_mean, dot, huber };

struct Network {
  int64_t depth = 2;
  Form form = Form::feature;
  Activation activation = Activation::gelu;
  InnerLoss loss = InnerLoss::l2;
  double huber_delta = 1;
};

/// Hidden rows and what the way back through them needs.
struct Hidden {
  at::Tensor pre;           // [N,T,E] before the activation
  at::Tensor inverse_norm;  // [N,T,1] of feature
  at::Tensor out;           // [N,T,E]
};
Hidden hidden_rows(const Network& net, const at::Tensor& pre);
/// Error rows before the activation from those behind it.
at::Tensor hidden_gradient(const Network& net, const Hidden& hidden, const at::Tensor& gradient);

/// LayerNorm without gain.
struct Normed {
  at::Tensor unit;      // [N,T,D] mean 0, variance 1
  at::Tensor inverse;   // [N,T,1] 1 / standard deviation
};
Normed layer_norm(const at::Tensor& x);
at::Tensor layer_norm_gradient(const Normed& normed, const at::Tensor& gradient);

/// What the network makes of the chain's output for input rows z. `gain` broadcasts against [N,T,D]; undefined = 0.
at::Tensor network_output(const Network& net, const at::Tensor& z, const at::Tensor& chain, const at::Tensor& gain);

/// Gradient of the inner loss with respect to M(k), given M(k) and v.
at::Tensor loss_gradient(const Network& net, const at::Tensor& output, const at::Tensor& value);

/// The inner loss of each token, [N,T].
at::Tensor loss_rows(const Network& net, const at::Tensor& output, const at::Tensor& value);

/// c of ∇‖e‖² = c e: 2, or 2/D with l2_mean.
double loss_factor(const Network& net, int64_t width);

/// M(z) with the given weights (matrices, broadcast against z) and gain: what a read without any write gives.
at::Tensor network_apply(const Network& net, const at::Tensor& z, const std::vector<at::Tensor>& weights, const at::Tensor& gain);

}  // namespace mneme::memory
