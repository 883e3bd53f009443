// ℓq retention (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 24): steps are kept in A, and the weights are a link of A.
//
//   A_t = (1 − α_t) A_{t−1} − step,   W = link(A)
//   link = norm:     sign(A) |A|^{q−1} / ‖A‖_q^{q−2}                   the gradient of ½‖A‖_q², degree 1
//   link = printed:  A / ‖A‖_q^{q−2}                                   degree 3 − q: at q = 4 doubling A halves W
//
// Both are cut where max |A| < 1e-6. The learned start is that of A: normal / √in where the network's initial weights are 0, since at A = 0
// the printed link has a pole, and the other one no gradient.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

struct LinkRetentionOptions : Options {
  double q = 4;
  std::string link = "norm";
  void describe(OptionVisitor& v) override {
    v.option("q", q, {2, 8}, "of the link; 2 = none");
    v.option("link", link, {"norm", "printed"}, "from steps to the map: of degree 1, or as the paper prints it");
  }
};

class LinkRetention : public rule::Retention {
 public:
  explicit LinkRetention(const rule::Context& c) : own_(own_options<LinkRetentionOptions>(c.own)) {}
  std::string state_name() const override { return "steps"; }
  at::Tensor parameter(const at::Tensor& weights, const at::Generator& generator) const override {
    if (weights.count_nonzero().item<int64_t>() > 0) return weights;
    return at::empty_like(weights).normal_(0, 1 / std::sqrt(double(weights.size(1))), generator);
  }
  // Degrees hold for the rest of the norm: with the largest entry scaled to 1 nothing overflows, and Σ ≥ 1 unless A is 0.
  at::Tensor weights(const at::Tensor& A) const override {
    if (own_.q == 2) return A;
    const at::Tensor largest = A.detach().abs().amax({2, 3}, true).clamp_min(1e-6), X = A / largest, size = X.abs();
    const at::Tensor norm = size.pow(own_.q).sum({2, 3}, true).clamp_min(1).pow((own_.q - 2) / own_.q);
    if (own_.link == "printed") return X / norm * largest.pow(3 - own_.q);
    return X.sign() * size.pow(own_.q - 1) / norm * largest;
  }
  at::Tensor next(const at::Tensor& A, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor&) const override {
    return kept(A, alpha) - step;
  }

 private:
  LinkRetentionOptions own_;
};

}  // namespace

void register_retention_link(rule::RetentionRegistry& registry) {
  registry.add({.name = "link",
                .summary = "steps are kept, and the weights are a link of them by an lq norm",
                .make = [](const rule::Context& c) { return std::make_shared<LinkRetention>(c); },
                .options = [] { return std::make_shared<LinkRetentionOptions>(); }});
}

}  // namespace mneme
