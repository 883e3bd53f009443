#include "nn/row_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "kernels/dispatch.h"
#include "nn/fused.h"

namespace mneme::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct RowNorm : torch::autograd::Function<RowNorm> {
  // No weight: L2 (scale 1), else RMS (scale 1/D).
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const std::optional<at::Tensor>& gain, double scale, double eps) {
    const at::Tensor x = x_in.contiguous(), weight = gain.value_or(at::Tensor());
    const int64_t n = x.size(-1), rows = x.numel() / n;
    at::Tensor y = at::empty_like(x), r = at::empty({rows}, x.options());
    dispatch_real(x, [&](auto zero) {
      using T = decltype(zero);
      const T* w = weight.defined() ? weight.const_data_ptr<T>() : nullptr;
      const T* xp = x.const_data_ptr<T>();
      T *yp = y.mutable_data_ptr<T>(), *rp = r.mutable_data_ptr<T>();
      at::parallel_for(0, rows, grain(n), [&](int64_t a, int64_t b) { kernels::loops<T>().row_norm(xp, w, yp, rp, a, b, n, T(scale), T(eps)); });
    });
    ctx->save_for_backward({x, weight, r});
    ctx->saved_data["scale"] = scale;
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &r = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    const double scale = ctx->saved_data["scale"].toDouble();
    const int64_t n = x.size(-1), rows = x.numel() / n;
    at::Tensor dx = at::empty_like(x), dw;
    // Rows are cut into a fixed number of parts, so that the sums of dw do not depend on how threads share the work.
    const int64_t parts = std::clamp<int64_t>(rows / 64, 1, 16), part_rows = (rows + parts - 1) / parts;
    at::Tensor dw_parts = weight.defined() ? at::zeros({parts, n}, x.options()) : at::Tensor();
    dispatch_real(x, [&](auto zero) {
      using T = decltype(zero);
      const T* w = weight.defined() ? weight.const_data_ptr<T>() : nullptr;
      T* dwp = weight.defined() ? dw_parts.mutable_data_ptr<T>() : nullptr;
      const T *xp = x.const_data_ptr<T>(), *rp = r.const_data_ptr<T>(), *dyp = dy.const_data_ptr<T>();
      T* dxp = dx.mutable_data_ptr<T>();
      at::parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
          kernels::loops<T>().row_norm_gradient(xp, w, rp, dyp, dxp, dwp ? dwp + i * n : nullptr, i * part_rows, std::min(rows, (i + 1) * part_rows), n, T(scale));
      });
    });
    if (weight.defined()) dw = dw_parts.sum(0);
    return {dx, dw, {}, {}};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!fusable(x)) return rms_norm_reference(x, weight, eps);
  return RowNorm::apply(x, std::optional(weight), 1.0 / double(x.size(-1)), eps);
}

at::Tensor l2_normalize(const at::Tensor& x, double eps) {
  if (!fusable(x)) return l2_normalize_reference(x, eps);
  return RowNorm::apply(x, std::optional<at::Tensor>(), 1.0, eps);
}

at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return x * (x * x).mean(-1, true).add(eps).rsqrt() * weight;
}

at::Tensor l2_normalize_reference(const at::Tensor& x, double eps) { return x * (x * x).sum(-1, true).add(eps).rsqrt(); }

}  // namespace mneme::nn
