#include "memory/rule/window.h"

#include <ATen/ATen.h>

namespace mneme::rule {
namespace {

// x [B,H,m,·] with its tokens in the order [B,count] of each row.
at::Tensor in_order(const at::Tensor& x, const at::Tensor& order) {
  return x.gather(2, order.view({x.size(0), 1, order.size(1), 1}).expand({x.size(0), x.size(1), order.size(1), x.size(3)}));
}

// Σ_t θ_t γ_i^(t) of tokens in a row, θ [B,H,m,C], γ [B,H,m,c] → [B,H,m,C]: γ_i^(t) is number i − t + c − 1 of token t.
at::Tensor band_sum(const at::Tensor& theta, const at::Tensor& gamma) {
  const int64_t B = theta.size(0), H = theta.size(1), m = theta.size(2), C = theta.size(3), c = gamma.size(3);
  const at::Tensor each = at::constant_pad_nd(theta.unsqueeze(4) * gamma.unsqueeze(3), {0, 0, 0, 0, 0, c - 1});  // [B,H,m+c−1,C,c]
  const at::Tensor i = at::arange(m, theta.options().dtype(at::kLong)).unsqueeze(1), j = at::arange(c, i.options());
  const at::Tensor place = ((i + (c - 1) - j) * c + j).flatten();
  return each.transpose(2, 3).reshape({B, H, C, -1}).index_select(3, place).view({B, H, C, m, c}).sum(4).transpose(2, 3);
}

}  // namespace

void begin_window(int64_t c, int64_t rows, int64_t heads, int64_t key_width, int64_t value_width, const std::vector<Gate>& loss_gates,
                  const at::TensorOptions& options, Tensors& state) {
  auto zeros = [&](int64_t width) { return at::zeros({rows, heads, c - 1, width}, options); };
  state["window_keys"] = zeros(key_width), state["window_values"] = zeros(value_width), state["window_held"] = zeros(1);
  for (const Gate& gate : loss_gates) state["window_" + gate.name] = zeros(1);
}

StepTokens with_window(const StepTokens& now, const at::Tensor& gamma, const at::Tensor& step, Tensors& state) {
  const int64_t B = now.key.size(0), n = now.key.size(2), c = gamma.size(3);
  const at::Tensor& window = state.at("window_held");
  const at::Tensor here = step.defined() && n > 1 ? step.to(window.scalar_type()).view({B, 1, n, 1}).expand({B, window.size(1), n, 1})
                                                  : at::ones_like(window.narrow(2, 0, 1)).expand({B, window.size(1), n, 1});
  const at::Tensor held = at::cat({window, here}, 2);
  // Where tokens are missing, those there are close up at the end, in their order, for the sum and for the next window.
  at::Tensor order;
  if (step.defined() && n > 1) order = at::argsort(held.select(3, 0).select(1, 0), true, 1, false);
  StepTokens all;
  auto joined = [&](const std::string& name, const at::Tensor& x) {
    const at::Tensor both = at::cat({state.at(name), x}, 2);
    state[name] = order.defined() ? in_order(both, order.narrow(1, n, c - 1)) : both.narrow(2, n, c - 1);
    return both;
  };
  all.key = joined("window_keys", now.key), all.value = joined("window_values", now.value);
  for (const auto& [name, x] : now.gates) all.gates[name] = joined("window_" + name, x);
  joined("window_held", here);
  if (n == 1) {
    all.weights = gamma.transpose(2, 3) * now.weights * held;
    return all;
  }
  auto padded = [&](const at::Tensor& x) {
    const at::Tensor whole = at::constant_pad_nd(x, {0, 0, c - 1, 0});
    return order.defined() ? in_order(whole, order) : whole;
  };
  const at::Tensor sums = band_sum(padded(now.weights), padded(gamma));
  all.weights = (order.defined() ? in_order(sums, at::argsort(order, true, 1, false)) : sums) * held;
  return all;
}

}  // namespace mneme::rule
