#include <ATen/ATen.h>

#include <vector>

#include "memory/kernels/mlp.h"

namespace mneme::memory {

Features mlp_features(const at::Tensor& pre) {
  const at::Tensor s = at::gelu(pre);
  const at::Tensor inverse_norm = (s * s).sum(-1, true).add(1e-6).rsqrt();
  return {pre, inverse_norm, s * inverse_norm};
}

at::Tensor mlp_feature_gradient(const Features& f, const at::Tensor& gradient) {
  const at::Tensor through_norm = (gradient - f.unit * (f.unit * gradient).sum(-1, true)) * f.inverse_norm;
  const at::Tensor delta = at::gelu_backward(through_norm, f.pre);
  return delta * (delta * delta).sum(-1, true).add(1e-12).rsqrt().clamp_max(1);
}

at::Tensor mlp_reference(const MlpCall& call, MlpWeights& state) {
  const int64_t steps = call.key.size(1);
  const bool momentum = call.eta[0].defined();
  std::array<at::Tensor, 2> W = state.weights, S = state.momentum, R = state.refresh_point;
  std::vector<at::Tensor> reads;
  auto column = [](const at::Tensor& x, int64_t t) { return x.narrow(1, t, 1).unsqueeze(2); };
  for (int64_t t = 0; t < steps; ++t) {
    if ((call.position + t) % call.refresh == 0) R = W;
    const at::Tensor q = call.query.narrow(1, t, 1), k = call.key.narrow(1, t, 1), v = call.value.narrow(1, t, 1);  // [N,1,D]
    const at::Tensor& last = call.exact_last ? W[1] : R[1];
    const Features f = mlp_features(at::bmm(k, R[0]));
    const at::Tensor delta_2 = 2 * (k + at::bmm(f.unit, last) - v);
    const at::Tensor delta_1 = mlp_feature_gradient(f, at::bmm(delta_2, last.transpose(1, 2)));
    const std::array<at::Tensor, 2> surprise{at::bmm(k.transpose(1, 2), delta_1), at::bmm(f.unit.transpose(1, 2), delta_2)};
    for (int l = 0; l < 2; ++l) {
      const at::Tensor step = -column(call.theta[l], t) * surprise[l], forget = column(call.alpha[l], t);
      S[l] = momentum ? column(call.eta[l], t) * S[l] + step : step;
      W[l] = (1 - forget) * W[l] + S[l];
      if (call.initial[l].defined()) W[l] = W[l] + forget * call.initial[l];
    }
    reads.push_back(q + at::bmm(mlp_features(at::bmm(q, W[0])).unit, W[1]));
  }
  if ((call.position + steps) % call.refresh == 0) R = W;
  state.weights = W;
  if (momentum) state.momentum = S;
  state.refresh_point = {R[0], call.exact_last ? at::Tensor() : R[1]};
  return at::cat(reads, 1);
}

}  // namespace mneme::memory
