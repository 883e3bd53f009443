// Residual MLP: M(k) = k + gelu(k W_in) W_out. W_in starts normal / √K, W_out at 0: a fresh memory says the key itself.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/network.h"

namespace mneme {
namespace {

struct MlpNetworkOptions : Options {
  int64_t expansion = 1;
  void describe(OptionVisitor& v) override { v.option("expansion", expansion, {1, 64}, "hidden width as a multiple of head_width"); }
};

class MlpNetwork : public rule::Network {
 public:
  explicit MlpNetwork(const rule::Context& c)
      : in_(at::empty({c.heads, c.key_width, own_options<MlpNetworkOptions>(c.own).expansion * c.key_width}, at::kFloat)) {
    in_.normal_(0, 1 / std::sqrt(double(c.key_width)), c.generator);
  }
  std::vector<Matrix> matrices() const override { return {{"in", in_}, {"out", at::zeros_like(in_.transpose(1, 2), at::MemoryFormat::Contiguous)}}; }
  at::Tensor apply(const rule::Matrices& w, const at::Tensor& x) const override {
    return x + at::matmul(at::gelu(at::matmul(x, w[0])), w[1]);
  }
  std::vector<Rows> rows(const rule::Matrices& w, const at::Tensor& keys, const at::Tensor& errors) const override {
    const at::Tensor hidden = at::matmul(keys, w[0]);
    return {{keys, at::gelu_backward(at::matmul(errors, w[1].transpose(2, 3)), hidden)}, {at::gelu(hidden), errors}};
  }

 private:
  at::Tensor in_;
};

}  // namespace

void register_network_mlp(rule::NetworkRegistry& registry) {
  registry.add({.name = "mlp",
                .summary = "k + gelu(k W_in) W_out",
                .make = [](const rule::Context& c) { return std::make_shared<MlpNetwork>(c); },
                .options = [] { return std::make_shared<MlpNetworkOptions>(); },
                .check = rule::check_widths_agree});
}

}  // namespace mneme
