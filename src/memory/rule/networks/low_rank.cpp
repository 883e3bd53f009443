// A matrix of low rank: M(k) = k U V with U [K,r], V [r,V]. U starts normal / √K, V at 0.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/rule/network.h"

namespace mneme {
namespace {

struct LowRankNetworkOptions : Options {
  int64_t rank = 0;
  void describe(OptionVisitor& v) override { v.option("rank", rank, {0, 65536}, "r; 0 = a quarter of head_width"); }
};

class LowRankNetwork : public rule::Network {
 public:
  explicit LowRankNetwork(const rule::Context& c) : value_width_(c.value_width) {
    const int64_t asked = own_options<LowRankNetworkOptions>(c.own).rank, rank = asked ? asked : std::max<int64_t>(1, c.key_width / 4);
    left_ = at::empty({c.heads, c.key_width, rank}, at::kFloat).normal_(0, 1 / std::sqrt(double(c.key_width)), c.generator);
  }
  std::vector<Matrix> matrices() const override {
    return {{"left", left_}, {"right", at::zeros({left_.size(0), left_.size(2), value_width_}, at::kFloat)}};
  }
  at::Tensor apply(const rule::Matrices& w, const at::Tensor& x) const override { return at::matmul(at::matmul(x, w[0]), w[1]); }
  std::vector<Rows> rows(const rule::Matrices& w, const at::Tensor& keys, const at::Tensor& errors) const override {
    return {{keys, at::matmul(errors, w[1].transpose(2, 3))}, {at::matmul(keys, w[0]), errors}};
  }

 private:
  int64_t value_width_;
  at::Tensor left_;
};

}  // namespace

void register_network_low_rank(rule::NetworkRegistry& registry) {
  registry.add({.name = "low_rank",
                .summary = "k U V, a matrix of low rank",
                .make = [](const rule::Context& c) { return std::make_shared<LowRankNetwork>(c); },
                .options = [] { return std::make_shared<LowRankNetworkOptions>(); }});
}

}  // namespace mneme
