// Short causal depthwise convolution, optionally followed by SiLU, fused; only its input is kept for the backward pass.
//
//   z[b,t,c] = Σ_j taps[j,c] · x[b,t−j,c]        y = z | z·σ(z)        j = 0…K−1; x before t = 0 comes from the tail
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

namespace mneme::nn {

/// x [B,T,C], taps [K,C], tail [B,K−1,C] (the K−1 inputs before x; undefined = zeros) → [B,T,C].
at::Tensor short_conv(const at::Tensor& x, const at::Tensor& taps, const at::Tensor& tail, bool silu);
at::Tensor short_conv_reference(const at::Tensor& x, const at::Tensor& taps, const at::Tensor& tail, bool silu);

/// The last K−1 inputs after x: the tail of the next call.
at::Tensor next_tail(const at::Tensor& x, const at::Tensor& tail, int64_t conv_width);

/// Initial taps [K,C] of one stream. `main_tap` gets 0.7 and all taps noise of standard deviation 0.1 ("identity",
/// "shift"); "random": uniform ±1/√K as in common libraries.
at::Tensor conv_taps(int64_t conv_width, int64_t channels, const std::string& init, int64_t main_tap, at::Generator generator);

}  // namespace mneme::nn
