#include "nn/short_conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "kernels/dispatch.h"
#include "nn/fused.h"

namespace mneme::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct ShortConv : torch::autograd::Function<ShortConv> {
  // padded [B,K−1+T,C], contiguous
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& padded, const at::Tensor& taps, bool silu) {
    const int64_t rows = padded.size(0), n = padded.size(2), k = taps.size(0), steps = padded.size(1) - k + 1;
    at::Tensor y = at::empty({rows, steps, n}, padded.options());
    dispatch_real(padded, [&](auto zero) {
      using T = decltype(zero);
      const T *x = padded.const_data_ptr<T>(), *w = taps.const_data_ptr<T>();
      T* out = y.mutable_data_ptr<T>();
      at::parallel_for(0, rows, 1, [&](int64_t a, int64_t b) {
        for (int64_t i = a; i < b; ++i) kernels::loops<T>().short_conv(x + i * (steps + k - 1) * n, w, out + i * steps * n, steps, n, k, silu);
      });
    });
    ctx->save_for_backward({padded, taps});
    ctx->saved_data["silu"] = silu;
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &padded = saved[0], &taps = saved[1];
    const at::Tensor dy = gradients[0].contiguous();
    const bool silu = ctx->saved_data["silu"].toBool();
    const int64_t rows = padded.size(0), n = padded.size(2), k = taps.size(0), steps = padded.size(1) - k + 1;
    at::Tensor dx = at::zeros_like(padded), dw = at::zeros({rows, k, n}, taps.options());
    dispatch_real(padded, [&](auto zero) {
      using T = decltype(zero);
      const T *x = padded.const_data_ptr<T>(), *w = taps.const_data_ptr<T>(), *g = dy.const_data_ptr<T>();
      T *dxp = dx.mutable_data_ptr<T>(), *dwp = dw.mutable_data_ptr<T>();
      at::parallel_for(0, rows, 1, [&](int64_t a, int64_t b) {
        std::vector<T> dz(n);
        for (int64_t i = a; i < b; ++i)
          kernels::loops<T>().short_conv_gradient(x + i * (steps + k - 1) * n, w, g + i * steps * n, dxp + i * (steps + k - 1) * n, dwp + i * k * n, dz.data(),
                          steps, n, k, silu);
      });
    });
    return {dx, dw.sum(0), {}};
  }
};

at::Tensor with_tail(const at::Tensor& x, const at::Tensor& tail, int64_t conv_width) {
  if (conv_width == 1) return x.contiguous();
  if (tail.defined()) return at::cat({tail, x}, 1);
  return at::constant_pad_nd(x, {0, 0, conv_width - 1, 0});
}

}  // namespace

at::Tensor short_conv(const at::Tensor& x, const at::Tensor& taps, const at::Tensor& tail, bool silu) {
  if (!fusable(x)) return short_conv_reference(x, taps, tail, silu);
  return ShortConv::apply(with_tail(x, tail, taps.size(0)), taps, silu);
}

at::Tensor short_conv_reference(const at::Tensor& x, const at::Tensor& taps, const at::Tensor& tail, bool silu) {
  const int64_t k = taps.size(0), steps = x.size(1);
  const at::Tensor padded = with_tail(x, tail, k);
  at::Tensor y = at::zeros_like(x);
  for (int64_t j = 0; j < k; ++j) y = y + padded.narrow(1, k - 1 - j, steps) * taps[j];
  return silu ? at::silu(y) : y;
}

at::Tensor next_tail(const at::Tensor& x, const at::Tensor& tail, int64_t conv_width) {
  const int64_t need = conv_width - 1, steps = x.size(1);
  if (steps >= need) return x.narrow(1, steps - need, need).clone();  // a copy: a view would keep all of x alive
  const at::Tensor padded = with_tail(x, tail, conv_width);
  return padded.narrow(1, padded.size(1) - need, need).clone();
}

at::Tensor conv_taps(int64_t conv_width, int64_t channels, const std::string& init, int64_t main_tap, at::Generator generator) {
  at::Tensor taps = at::empty({conv_width, channels}, at::kFloat);
  if (init == "random") return taps.uniform_(-1 / std::sqrt(double(conv_width)), 1 / std::sqrt(double(conv_width)), generator);
  taps.normal_(0, 0.1, generator);
  taps[std::min(init == "shift" ? main_tap : 0, conv_width - 1)] += 0.7;
  return taps;
}

}  // namespace mneme::nn
