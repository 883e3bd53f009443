// MLP with a gated residual (highway network, Srivastava et al., arXiv 1505.00387), the gate a fast weight too:
//
//   M(k) = g ⊙ k + (1 − g) ⊙ y,   g = σ(k W_gate),   y = gelu(k W_in) W_out
//
// W_in starts normal / √K, W_gate and W_out at 0: a fresh memory says half the key.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/network.h"

namespace mneme {
namespace {

class GatedResidualNetwork : public rule::Network {
 public:
  explicit GatedResidualNetwork(const rule::Context& c) : in_(at::empty({c.heads, c.key_width, c.key_width}, at::kFloat)) {
    in_.normal_(0, 1 / std::sqrt(double(c.key_width)), c.generator);
  }
  std::vector<Matrix> matrices() const override { return {{"gate", at::zeros_like(in_)}, {"in", in_}, {"out", at::zeros_like(in_)}}; }
  at::Tensor apply(const rule::Matrices& w, const at::Tensor& x) const override {
    const at::Tensor g = at::matmul(x, w[0]).sigmoid(), y = at::matmul(at::gelu(at::matmul(x, w[1])), w[2]);
    return y + g * (x - y);
  }
  std::vector<Rows> rows(const rule::Matrices& w, const at::Tensor& keys, const at::Tensor& errors) const override {
    const at::Tensor g = at::matmul(keys, w[0]).sigmoid(), pre = at::matmul(keys, w[1]), hidden = at::gelu(pre);
    const at::Tensor y = at::matmul(hidden, w[2]), of_y = errors * (1 - g);
    return {{keys, of_y * g * (keys - y)}, {keys, at::gelu_backward(at::matmul(of_y, w[2].transpose(2, 3)), pre)}, {hidden, of_y}};
  }

 private:
  at::Tensor in_;
};

}  // namespace

void register_network_gated_residual(rule::NetworkRegistry& registry) {
  registry.add({.name = "gated_residual",
                .summary = "g ⊙ k + (1 − g) ⊙ gelu(k W_in) W_out, g = σ(k W_gate)",
                .make = [](const rule::Context& c) { return std::make_shared<GatedResidualNetwork>(c); },
                .check = rule::check_widths_agree});
}

}  // namespace mneme
