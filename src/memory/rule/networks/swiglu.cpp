// Residual SwiGLU (Shazeer, arXiv 2002.05202; as a memory in Atlas, arXiv 2505.23735):
//
//   M(k) = k + (silu(k W_gate) ⊙ (k W_up)) W_down
//
// W_gate and W_up start normal / √K, W_down at 0.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/network.h"

namespace mneme {
namespace {

struct SwigluNetworkOptions : Options {
  int64_t expansion = 1;
  void describe(OptionVisitor& v) override { v.option("expansion", expansion, {1, 64}, "hidden width as a multiple of head_width"); }
};

class SwigluNetwork : public rule::Network {
 public:
  explicit SwigluNetwork(const rule::Context& c) {
    const int64_t E = own_options<SwigluNetworkOptions>(c.own).expansion * c.key_width;
    auto normal = [&] { return at::empty({c.heads, c.key_width, E}, at::kFloat).normal_(0, 1 / std::sqrt(double(c.key_width)), c.generator); };
    gate_ = normal(), up_ = normal();
  }
  std::vector<Matrix> matrices() const override {
    return {{"gate", gate_}, {"up", up_}, {"down", at::zeros({up_.size(0), up_.size(2), up_.size(1)}, at::kFloat)}};
  }
  at::Tensor apply(const rule::Matrices& w, const at::Tensor& x) const override {
    return x + at::matmul(at::silu(at::matmul(x, w[0])) * at::matmul(x, w[1]), w[2]);
  }
  std::vector<Rows> rows(const rule::Matrices& w, const at::Tensor& keys, const at::Tensor& errors) const override {
    const at::Tensor a = at::matmul(keys, w[0]), up = at::matmul(keys, w[1]), s = a.sigmoid(), open = a * s;
    const at::Tensor back = at::matmul(errors, w[2].transpose(2, 3));
    return {{keys, back * up * s * (1 + a * (1 - s))}, {keys, back * open}, {open * up, errors}};
  }

 private:
  at::Tensor gate_, up_;
};

}  // namespace

void register_network_swiglu(rule::NetworkRegistry& registry) {
  registry.add({.name = "swiglu",
                .summary = "k + (silu(k W_gate) ⊙ (k W_up)) W_down",
                .make = [](const rule::Context& c) { return std::make_shared<SwigluNetwork>(c); },
                .options = [] { return std::make_shared<SwigluNetworkOptions>(); },
                .check = rule::check_widths_agree});
}

}  // namespace mneme
