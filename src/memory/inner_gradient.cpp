#include "memory/inner_gradient.h"

#include <ATen/ATen.h>

namespace mneme::memory {

InnerGradient key_features(const Network& net, const at::Tensor& key, const std::vector<at::Tensor>& weights) {
  InnerGradient g;
  g.inputs.push_back(key);
  for (int64_t l = 0; l + 1 < net.depth; ++l) {
    g.hidden.push_back(hidden_rows(net, at::bmm(g.inputs[l], weights[l])));
    g.inputs.push_back(g.hidden[l].out);
  }
  return g;
}

void error_rows(const Network& net, const at::Tensor& key, const at::Tensor& value, const std::vector<at::Tensor>& weights,
                const at::Tensor& gain, bool fast_gain, InnerGradient& g) {
  const int64_t last = net.depth - 1;
  const at::Tensor chain = at::bmm(g.inputs[last], weights[last]);
  at::Tensor error, of_gain;
  if (net.form == Form::residual_norm) {
    const Normed n = layer_norm(chain);
    g.output = key + (gain.defined() ? n.unit * (1 + gain) : n.unit);
    const at::Tensor e = loss_gradient(net, g.output, value);
    if (fast_gain) of_gain = e * n.unit;
    error = layer_norm_gradient(n, gain.defined() ? e * (1 + gain) : e);
  } else {
    g.output = network_output(net, key, chain, gain);
    error = loss_gradient(net, g.output, value);
  }
  g.deltas.assign(net.depth, {});
  g.deltas[last] = error;
  if (last > 0) lower_error_rows(net, at::bmm(error, weights[last].transpose(1, 2)), weights, g);
  if (fast_gain) g.deltas.push_back(of_gain);
}

void lower_error_rows(const Network& net, const at::Tensor& back, const std::vector<at::Tensor>& weights, InnerGradient& g) {
  at::Tensor rows = back;
  for (int64_t l = net.depth - 2; l >= 0; --l) {
    g.deltas[l] = hidden_gradient(net, g.hidden[l], rows);
    if (l > 0) rows = at::bmm(g.deltas[l], weights[l].transpose(1, 2));
  }
}

at::Tensor squared_gradient(const InnerGradient& g) {
  at::Tensor sum;
  for (size_t l = 0; l < g.deltas.size(); ++l) {
    at::Tensor square = (g.deltas[l] * g.deltas[l]).sum(-1);
    if (l < g.inputs.size()) square = square * (g.inputs[l] * g.inputs[l]).sum(-1);
    sum = sum.defined() ? sum + square : square;
  }
  return sum;
}

}  // namespace mneme::memory
