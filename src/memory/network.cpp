#include "memory/network.h"

#include <ATen/ATen.h>

namespace mneme::memory {
namespace {

constexpr double kSigmoidGelu = 1.702;

at::Tensor activation(const Network& net, const at::Tensor& x) {
  return net.activation == Activation::gelu ? at::gelu(x) : x * at::sigmoid(x * kSigmoidGelu);
}

at::Tensor activation_gradient(const Network& net, const at::Tensor& gradient, const at::Tensor& x) {
  if (net.activation == Activation::gelu) return at::gelu_backward(gradient, x);
  const at::Tensor s = at::sigmoid(x * kSigmoidGelu);
  return gradient * (s + kSigmoidGelu * x * s * (1 - s));
}

}  // namespace

Hidden hidden_rows(const Network& net, const at::Tensor& pre) {
  const at::Tensor s = activation(net, pre);
  if (net.form != Form::feature) return {pre, {}, s};
  const at::Tensor inverse_norm = (s * s).sum(-1, true).add(1e-6).rsqrt();
  return {pre, inverse_norm, s * inverse_norm};
}

at::Tensor hidden_gradient(const Network& net, const Hidden& h, const at::Tensor& gradient) {
  if (net.form != Form::feature) return activation_gradient(net, gradient, h.pre);
  const at::Tensor through_norm = (gradient - h.out * (h.out * gradient).sum(-1, true)) * h.inverse_norm;
  const at::Tensor delta = activation_gradient(net, through_norm, h.pre);
  return delta * (delta * delta).sum(-1, true).add(1e-12).rsqrt().clamp_max(1);
}

Normed layer_norm(const at::Tensor& x) {
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor inverse = (centred * centred).mean(-1, true).add(1e-5).rsqrt();
  return {centred * inverse, inverse};
}

at::Tensor layer_norm_gradient(const Normed& n, const at::Tensor& g) {
  return (g - g.mean(-1, true) - n.unit * (g * n.unit).mean(-1, true)) * n.inverse;
}

at::Tensor network_output(const Network& net, const at::Tensor& z, const at::Tensor& chain, const at::Tensor& gain) {
  if (net.form == Form::plain) return chain;
  if (net.form == Form::feature) return z + chain;
  const at::Tensor unit = layer_norm(chain).unit;
  return z + (gain.defined() ? unit * (1 + gain) : unit);
}

at::Tensor loss_gradient(const Network& net, const at::Tensor& output, const at::Tensor& value) {
  if (net.loss == InnerLoss::dot) return -value;
  const at::Tensor gradient = (output - value) * loss_factor(net, value.size(-1));
  if (net.loss != InnerLoss::huber) return gradient;
  return gradient * (gradient * gradient).sum(-1, true).add(1e-24).rsqrt().mul(2 * net.huber_delta).clamp_max(1);
}

at::Tensor loss_rows(const Network& net, const at::Tensor& output, const at::Tensor& value) {
  if (net.loss == InnerLoss::dot) return -(output * value).sum(-1);
  const at::Tensor error = output - value, square = (error * error).sum(-1);
  if (net.loss == InnerLoss::l2_mean) return square / double(value.size(-1));
  if (net.loss == InnerLoss::l2) return square;
  const double delta = net.huber_delta;
  return at::where(square <= delta * delta, square, 2 * delta * square.sqrt() - delta * delta);
}

double loss_factor(const Network& net, int64_t width) { return net.loss == InnerLoss::l2_mean ? 2.0 / double(width) : 2.0; }

at::Tensor network_apply(const Network& net, const at::Tensor& z, const std::vector<at::Tensor>& weights, const at::Tensor& gain) {
  at::Tensor rows = z;
  for (int64_t l = 0; l < net.depth; ++l) {
    rows = at::matmul(rows, weights[l]);
    if (l + 1 < net.depth) rows = hidden_rows(net, rows).out;
  }
  return network_output(net, z, rows, gain);
}

}  // namespace mneme::memory
