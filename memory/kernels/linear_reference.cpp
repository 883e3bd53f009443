#include <ATen/ATen.h>

#include <vector>

#include "memory/kernels/linear.h"

namespace mneme::memory {

at::Tensor linear_reference(const LinearCall& call, LinearWeights& state) {
  const int64_t steps = call.key.size(1);
  at::Tensor W = state.weights, S = state.momentum, point = state.refresh_point;
  std::vector<at::Tensor> reads;
  auto column = [](const at::Tensor& x, int64_t t) { return x.narrow(1, t, 1).unsqueeze(2); };  // [N,1,1]
  for (int64_t t = 0; t < steps; ++t) {
    if ((call.position + t) % call.refresh == 0) point = W;
    const at::Tensor k = call.key.narrow(1, t, 1), v = call.value.narrow(1, t, 1);  // [N,1,·]
    const at::Tensor surprise = at::bmm(k.transpose(1, 2), 2 * (at::bmm(k, point) - v));
    const at::Tensor step = -column(call.theta, t) * surprise;
    S = call.eta.defined() ? column(call.eta, t) * S + step : step;
    W = (1 - column(call.alpha, t)) * W + S;
    reads.push_back(at::bmm(call.query.narrow(1, t, 1), W));
  }
  if ((call.position + steps) % call.refresh == 0) point = W;
  state.weights = W;
  if (call.eta.defined()) state.momentum = S;
  if (call.refresh > 1) state.refresh_point = point;
  return at::cat(reads, 1);
}

}  // namespace mneme::memory
