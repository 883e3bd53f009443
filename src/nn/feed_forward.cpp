#include "nn/feed_forward.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/dispatch.h"
#include "nn/fused.h"
#include "nn/init.h"

namespace mneme::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in) {
    const at::Tensor x = x_in.contiguous();
    auto sizes = x.sizes().vec();
    const int64_t h = sizes.back() / 2, rows = x.numel() / (2 * h);
    sizes.back() = h;
    at::Tensor y = at::empty(sizes, x.options());
    dispatch_real(x, [&](auto zero) {
      using T = decltype(zero);
      const T* xp = x.const_data_ptr<T>();
      T* yp = y.mutable_data_ptr<T>();
      at::parallel_for(0, rows, grain(h), [&](int64_t a, int64_t b) { kernels::loops<T>().swiglu(xp, yp, a, b, h); });
    });
    ctx->save_for_backward({x});
    return y;
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const at::Tensor x = ctx->get_saved_variables()[0], dy = gradients[0].contiguous();
    const int64_t h = x.size(-1) / 2, rows = x.numel() / (2 * h);
    at::Tensor dx = at::empty_like(x);
    dispatch_real(x, [&](auto zero) {
      using T = decltype(zero);
      const T *xp = x.const_data_ptr<T>(), *dp = dy.const_data_ptr<T>();
      T* op = dx.mutable_data_ptr<T>();
      at::parallel_for(0, rows, grain(h), [&](int64_t a, int64_t b) { kernels::loops<T>().swiglu_gradient(xp, dp, op, a, b, h); });
    });
    return {dx};
  }
};

}  // namespace

int64_t default_hidden(int64_t width) { return (8 * width / 3 + 63) / 64 * 64; }

at::Tensor swiglu(const at::Tensor& x) { return fusable(x) ? SwiGlu::apply(x) : swiglu_reference(x); }

at::Tensor swiglu_reference(const at::Tensor& x) {
  const auto parts = x.chunk(2, -1);
  return at::silu(parts[0]) * parts[1];
}

FeedForward::FeedForward(int64_t width, int64_t hidden, at::Generator generator) {
  up_ = register_parameter("up", linear_weight(2 * hidden, width, generator));
  down_ = register_parameter("down", linear_weight(width, hidden, generator));
}

at::Tensor FeedForward::forward(const at::Tensor& x) { return at::linear(swiglu(at::linear(x, up_)), down_); }

}  // namespace mneme::nn
