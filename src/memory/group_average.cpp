#include "memory/group_average.h"

#include <ATen/ATen.h>

namespace mneme {

at::Tensor group_average(const at::Tensor& rows, const at::Tensor& weight, int64_t g, State& state) {
  const int64_t B = rows.size(0), T = rows.size(1), n = rows.size(2);
  const int64_t waiting = state.position % g, groups = (waiting + T + g - 1) / g, left = (waiting + T) % g;
  auto sums = [&](const char* name, const at::Tensor& x) {  // [B,T,n] → [B,groups,n]
    at::Tensor each = at::constant_pad_nd(x, {0, 0, waiting, groups * g - waiting - T}).view({B, groups, g, n}).sum(2);
    at::Tensor& held = state.tensor(name);
    if (waiting) each = at::cat({each.narrow(1, 0, 1) + held, each.narrow(1, 1, groups - 1)}, 1);
    held = left ? each.narrow(1, groups - 1, 1).clone() : at::zeros({B, 1, n}, x.options());
    return each;
  };
  const at::Tensor average = sums("group_sum", weight * rows) / sums("group_weight", weight).clamp_min(1e-12);
  state.advance(T);
  return average.repeat_interleave(g, 1).narrow(1, waiting, T);
}

}  // namespace mneme
