#include "memory/guard.h"

#include <ATen/ATen.h>

namespace mneme::memory {

Guarded guard(const at::Tensor& rows, const at::Tensor& theta, const at::Tensor& eta, const at::Tensor& load, double curvature) {
  constexpr double kTiny = 1e-12;  // of rows so small that a whole interval of them stays far below the limit
  const at::Tensor total = (eta.defined() ? theta / (1 - eta).clamp_min(1e-6) : theta) * curvature;  // [N,C]
  const at::Tensor square = (rows * rows).sum(-1);
  const at::Tensor overlap = at::tril(at::bmm(rows, rows.transpose(1, 2)), -1).square();
  const at::Tensor seen = at::bmm(overlap, total.unsqueeze(2)).squeeze(2) + (at::bmm(rows, load) * rows).sum(-1);
  const at::Tensor room = kGuardLimit * square - seen;
  // Rows so large that their products overflow make `room` NaN: none is left.
  const at::Tensor some = room > 0, wanted = total * square * square, fires = wanted > at::where(room > kTiny, room, kTiny);
  const at::Tensor factor = at::where(fires, at::where(some, room, 0) / at::where(fires, wanted, 1), 1);
  return {factor, load + at::bmm((total.unsqueeze(2) * rows).transpose(1, 2), rows), fires.sum()};
}

}  // namespace mneme::memory
