// What memory/omega.cpp and memory/atlas.cpp share (Behrouz et al., arXiv 2505.23735): the loss of a window of c tokens, and features.
//
//   l_t(M) = Σ_{i=t−c+1..t} γ_i^(t) ‖φ(k_i) M − v_i‖²,   G_t = ∇l_t(M_{t−1}) = 2 Σ γ_i^(t) φ(k_i) (φ(k_i) M_{t−1} − v_i)ᵀ
//
// γ^(t): c gates of token t, the last one for itself, the first for the oldest; none with c = 1, the plain loss. The window belongs to the
// state: of the last c − 1 tokens k, v and whether there was one (a masked token is none, so the window is that of steps).
// features = polynomial: φ(x) = [a_0, a_1 x, a_2 x⊗x / √2], so that φ(x)·φ(y) = Σ a_i² (x·y)^i / i!, a_i learned per head, initially 1.
// x⊗x without its double entries (the others times √2): F = 1 + K + K(K+1)/2 rows instead of K; K = 16: 153, K = 64: 2145.
// State per row and head: F V weights, (c − 1)(K + V + 1) of the window.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include "memory/loop_memory.h"

namespace mneme::memory {

struct OmegaOptions : Options {
  int64_t window = 4;
  std::string features = "none";
  void describe(OptionVisitor& v) override {
    v.option("window", window, {1, 1024}, "tokens whose losses a step goes down");
    v.option("features", features, {"none", "polynomial"}, "of keys and queries: none, or all products of up to two of their numbers");
  }
};

class OmegaMemory : public LoopMemory {
 protected:
  explicit OmegaMemory(const MemoryContext& context) : LoopMemory(context), own_(own_options<OmegaOptions>(context.options.own)) {
    if (own_.features == "none") return;
    coefficients_ = parameter("coefficients", at::ones({heads_, 3}, at::kFloat), Role::memory_start);
    pairs_ = at::triu_indices(key_width_, key_width_);
  }

  /// h and the momentum are the rule's own.
  std::vector<Gate> window_gates() const {
    std::vector<Gate> all;
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias});
    if (own_.window > 1) all.push_back({.name = "gamma", .help = "weights of the window's tokens", .copies = own_.window});
    return all;
  }

  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    Tensors state{{"weights", at::zeros({rows, heads_, width(), value_width_}, options)}};
    if (own_.window > 1) {
      const int64_t n = own_.window - 1;
      state["window_keys"] = at::zeros({rows, heads_, n, key_width_}, options);
      state["window_values"] = at::zeros({rows, heads_, n, value_width_}, options);
      state["window_held"] = at::zeros({rows, heads_, n, 1}, options);
    }
    return state;
  }

  int64_t width() const { return coefficients_.defined() ? 1 + key_width_ + pairs_.size(1) : key_width_; }

  at::Tensor features(const at::Tensor& x) const {  // [B,H,n,K] → [B,H,n,F]
    if (!coefficients_.defined()) return x;
    const at::Tensor i = pairs_[0].to(x.device()), j = pairs_[1].to(x.device());
    const at::Tensor scale = at::ones(i.sizes(), x.options()).masked_fill(i == j, std::sqrt(.5));  // √½, times √2 off the diagonal
    const at::Tensor products = x.index_select(3, i) * x.index_select(3, j) * scale;
    const std::vector<at::Tensor> a = coefficients_.to(x.options()).view({1, heads_, 1, 3}).split(1, 3);
    return at::cat({a[0].expand({x.size(0), heads_, x.size(2), 1}), a[1] * x, a[2] * products}, 3);
  }

  /// G_t; the token goes into the window. `loss`: the token's own, [B,H].
  at::Tensor gradient(const Token& token, Tensors& state, at::Tensor& loss) const {
    at::Tensor keys = token.key.unsqueeze(2), values = token.value.unsqueeze(2), weights;
    if (own_.window > 1) {
      const int64_t n = own_.window - 1;
      keys = at::cat({state.at("window_keys"), keys}, 2), values = at::cat({state.at("window_values"), values}, 2);
      const at::Tensor& held = state.at("window_held");
      const at::Tensor now = at::cat({held, at::ones_like(held.narrow(2, 0, 1))}, 2);
      weights = token.gates.at("gamma").unsqueeze(-1) * now;
      state["window_keys"] = keys.narrow(2, 1, n), state["window_values"] = values.narrow(2, 1, n), state["window_held"] = now.narrow(2, 1, n);
    }
    const at::Tensor x = features(keys), error = at::matmul(x, state.at("weights")) - values;
    loss = error.select(2, own_.window - 1).square().sum(2);
    return at::matmul(x.transpose(2, 3), (weights.defined() ? error * weights : error) * 2);
  }

  at::Tensor kept(const Token& token, const at::Tensor& weights) const {
    return options_.forgetting ? weights * (1 - token.gates.at("alpha")).unsqueeze(-1) : weights;
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override {
    return at::matmul(features(queries), state.at("weights"));
  }

  OmegaOptions own_;

 private:
  at::Tensor coefficients_, pairs_;  // [H,3] a; int64 [2,K(K+1)/2]
};

}  // namespace mneme::memory
