// One matrix: M(k) = φ(k) W, initially 0.
//
// features = polynomial (Atlas, Behrouz et al., arXiv 2505.23735): φ(x) = [a_0, a_1 x, a_2 x⊗x / √2], so that
// φ(x)·φ(y) = Σ a_i² (x·y)^i / i!, a_i learned per head, initially 1. x⊗x without its double entries (the others times √2):
// F = 1 + K + K(K+1)/2 rows instead of K; K = 16: 153, K = 64: 2145. Of unit keys ‖φ‖² = 2.5 at the start.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/network.h"

namespace mneme {
namespace {

struct LinearNetworkOptions : Options {
  std::string features = "none";
  void describe(OptionVisitor& v) override {
    v.option("features", features, {"none", "polynomial"}, "of keys and queries: none, or all products of up to two of their numbers");
  }
};

class LinearNetwork : public rule::Network {
 public:
  explicit LinearNetwork(const rule::Context& c) : heads_(c.heads), width_(c.key_width), value_width_(c.value_width) {
    if (own_options<LinearNetworkOptions>(c.own).features == "none") return;
    coefficients_ = c.parameter("coefficients", at::ones({heads_, 3}, at::kFloat));
    pairs_ = at::triu_indices(width_, width_);
    width_ += 1 + pairs_.size(1);
  }
  std::vector<Matrix> matrices() const override { return {{"", at::zeros({heads_, width_, value_width_}, at::kFloat)}}; }
  at::Tensor apply(const rule::Matrices& w, const at::Tensor& x) const override { return at::matmul(features(x), w[0]); }
  std::vector<Rows> rows(const rule::Matrices&, const at::Tensor& keys, const at::Tensor& errors) const override {
    return {{features(keys), errors}};
  }
  double input_square() const override { return coefficients_.defined() ? 2.5 : 1; }

 private:
  at::Tensor features(const at::Tensor& x) const {  // [B,H,n,K] → [B,H,n,F]
    if (!coefficients_.defined()) return x;
    const at::Tensor i = pairs_[0].to(x.device()), j = pairs_[1].to(x.device());
    const at::Tensor scale = at::ones(i.sizes(), x.options()).masked_fill(i == j, std::sqrt(.5));  // √½, times √2 off the diagonal
    const at::Tensor products = x.index_select(3, i) * x.index_select(3, j) * scale;
    const std::vector<at::Tensor> a = coefficients_.to(x.options()).view({1, heads_, 1, 3}).split(1, 3);
    return at::cat({a[0].expand({x.size(0), heads_, x.size(2), 1}), a[1] * x, a[2] * products}, 3);
  }

  int64_t heads_, width_, value_width_;
  at::Tensor coefficients_, pairs_;  // [H,3] a; int64 [2,K(K+1)/2]
};

}  // namespace

void register_network_linear(rule::NetworkRegistry& registry) {
  registry.add({.name = "linear",
                .summary = "one matrix, k W, or of polynomial features of the key",
                .make = [](const rule::Context& c) { return std::make_shared<LinearNetwork>(c); },
                .options = [] { return std::make_shared<LinearNetworkOptions>(); }});
}

}  // namespace mneme
