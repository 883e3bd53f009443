// Retention by relative entropy (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 21, 27): weights that are positive and sum to c.
//
//   W_t = c softmax((1 − α_t) log W_{t−1} − step)
//
// softmax over all in·out numbers of a matrix, or over the `in` numbers that make one of its outputs (`over`). The paper makes α and θ of two
// other gates, α = (1/a)/(1/a + 1/h), θ = 1/(1/a + 1/h). Own: positive weights alone cannot tell signs, so with `signed` the matrix is W − w,
// w = c/n the uniform weight of n numbers, which is also where forgetting leads. c = n by default: numbers of the matrix from −1 to n − 1.
// The state is log W, which cannot overflow; own: no less than log(c) − 30, so that no weight gets lost. The learned start is that of
// log(W/w): of the network's initial weights with `signed`, else uniform.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

struct SoftmaxRetentionOptions : Options {
  std::string over = "all";
  double c = 0;
  bool is_signed = true;
  void describe(OptionVisitor& v) override {
    v.option("over", over, {"all", "row"}, "what sums to c: all weights of a matrix, or those of one number of its output");
    v.option("c", c, {0, 1e6}, "sum of the weights; 0 = how many they are");
    v.option("signed", is_signed, "the matrix is what weights differ from uniform ones");
  }
};

class SoftmaxRetention : public rule::Retention {
 public:
  explicit SoftmaxRetention(const rule::Context& c) : own_(own_options<SoftmaxRetentionOptions>(c.own)) {}
  std::string state_name() const override { return "log_weights"; }
  at::Tensor parameter(const at::Tensor& weights, const at::Generator&) const override {
    if (!own_.is_signed) return at::zeros_like(weights);
    return (weights * count(weights) / sum(weights)).clamp_min(-1 + 1e-3).log1p();
  }
  at::Tensor begin(const at::Tensor& parameter) const override { return normalized(parameter); }
  at::Tensor weights(const at::Tensor& L) const override { return L.exp() - (own_.is_signed ? sum(L) / count(L) : 0); }
  at::Tensor next(const at::Tensor& L, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor&) const override {
    return normalized(kept(L, alpha) - step);
  }

 private:
  static constexpr double kFloor = 30;

  double count(const at::Tensor& x) const { return double(own_.over == "all" ? x.size(-2) * x.size(-1) : x.size(-2)); }
  double sum(const at::Tensor& x) const { return own_.c > 0 ? own_.c : count(x); }
  at::Tensor normalized(const at::Tensor& x) const {  // [rows,H,in,out]
    const at::Tensor y = own_.over == "all" ? at::log_softmax(x.flatten(2), 2).view_as(x) : at::log_softmax(x, 2);
    return y.clamp_min(-kFloor) + std::log(sum(x));
  }

  SoftmaxRetentionOptions own_;
};

}  // namespace

void register_retention_softmax(rule::RetentionRegistry& registry) {
  registry.add({.name = "softmax",
                .summary = "positive weights of a fixed sum: the steps go through a softmax",
                .make = [](const rule::Context& c) { return std::make_shared<SoftmaxRetention>(c); },
                .options = [] { return std::make_shared<SoftmaxRetentionOptions>(); }});
}

}  // namespace mneme
