#include "nn/rope.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/dispatch.h"
#include "nn/fused.h"

namespace mneme::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// `by_head`: the result lies in memory head by head, as attention reads it; else token by token, as projections write.
at::Tensor apply_rotation(const at::Tensor& x, const at::Tensor& rows, double sign, bool by_head) {
  const int64_t batch = x.size(0), steps = x.size(1), heads = x.size(2), d = x.size(3);
  const int64_t row_steps = rows.dim() == 3 ? batch * steps : steps;  // after which rows repeat
  at::Tensor y = by_head ? at::empty({batch, heads, steps, d}, x.options()).transpose(1, 2) : at::empty({batch, steps, heads, d}, x.options());
  dispatch_real(x, [&](auto zero) {
    using T = decltype(zero);
    const T *xp = x.const_data_ptr<T>(), *rp = rows.const_data_ptr<T>();
    T* yp = y.mutable_data_ptr<T>();
    const int64_t sb = x.stride(0), st = x.stride(1), sh = x.stride(2), yb = y.stride(0), yt = y.stride(1), yh = y.stride(2);
    at::parallel_for(0, batch * steps, grain(heads * d), [&](int64_t a, int64_t b) {
      for (int64_t i = a; i < b; ++i)
        kernels::loops<T>().rotate(xp + (i / steps) * sb + (i % steps) * st, rp + (i % row_steps) * d, yp + (i / steps) * yb + (i % steps) * yt, heads, sh,
                      yh, d, T(sign));
    });
  });
  return y;
}

/// The same angles within half a turn of 0 (fp64): cosines of large ones take up to twice the time. A turn, 2 π, is the sum of two
/// numbers; the first has so few digits that its multiples are exact, so nothing is lost (Cody and Waite 1980).
at::Tensor within_a_turn(const at::Tensor& angle) {
  constexpr double kTurnsPerRadian = 0.15915494309189535, kTurn = 0x1.921fb544p+2, kRest = 0x1.0b4611a626331p-32;
  const at::Tensor turns = (angle * kTurnsPerRadian).round_();
  return (angle - turns * kTurn).sub_(turns * kRest);
}

struct Rope : torch::autograd::Function<Rope> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& rows) {
    ctx->saved_data["rows"] = rows;  // an input without gradient, never an output
    return apply_rotation(x, rows, 1, true);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const at::Tensor& g = gradients[0];
    return {apply_rotation(g.stride(-1) == 1 ? g : g.contiguous(), ctx->saved_data["rows"].toTensor(), -1, false), {}};
  }
};

}  // namespace

at::Tensor RotaryTable::rows(int64_t first, int64_t steps, const at::TensorOptions& options) {
  const bool held = table_.defined() && table_.dtype() == options.dtype() && table_.device() == options.device() && first >= first_ &&
                    first + steps <= first_ + table_.size(0);
  if (!held) {
    at::NoGradGuard no_grad;
    table_ = rows(at::arange(first, first + steps), options);
    first_ = first;
  }
  return table_.narrow(0, first - first_, steps);
}

at::Tensor RotaryTable::rows(const at::Tensor& positions, const at::TensorOptions& options) const {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequency = at::pow(base_, at::arange(0, head_width_, 2, wide) * (-1.0 / double(head_width_)));
  const at::Tensor angle = within_a_turn(positions.to(wide).unsqueeze(-1) * frequency);
  return at::cat({angle.cos(), angle.sin()}, -1).to(options.dtype()).to(options.device());
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& rows) {
  if (!fusable(x) || x.stride(-1) != 1) return rope_reference(x, rows);
  return Rope::apply(x, rows);
}

at::Tensor rope_reference(const at::Tensor& x, const at::Tensor& rows) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor c = rows.narrow(-1, 0, half).unsqueeze(-2), s = rows.narrow(-1, half, half).unsqueeze(-2);
  const at::Tensor pairs = x.unflatten(-1, at::IntArrayRef({half, 2}));
  const at::Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
  return at::stack({a * c - b * s, a * s + b * c}, -1).flatten(-2);
}

}  // namespace mneme::nn
