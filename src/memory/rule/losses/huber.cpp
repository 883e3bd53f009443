// Huber's loss with a threshold δ of every token's own (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 16, 26). e = M(k) − v; half squares:
// the slope g is e where nothing is cut.
//
//   form = mixture:     l = ½‖e‖²,  g = e            where ‖e‖ ≤ δ;  else l = δ ‖e‖₁ − ½ δ²,  g = δ sign(e)     eq. 26
//   form = coordinate:  l = Σ huber_δ(e_i),           g_i = max(−δ, min(δ, e_i))                                  eq. 16 of each number
//   form = norm:        l = huber_δ(‖e‖),             g = e min(1, δ / ‖e‖)                                       eq. 16 of the length
//
// The paper prints all three. The mixture jumps: at ‖e‖ = δ the length of g goes from δ to up to δ √V.
// δ = 2 σ(·) per token and head, initially 1, or fixed.
#include <ATen/ATen.h>

#include "memory/rule/loss.h"

namespace mneme {
namespace {

struct HuberLossOptions : Options {
  std::string form = "mixture";
  double delta = 0;
  void describe(OptionVisitor& v) override {
    v.option("form", form, {"mixture", "coordinate", "norm"}, "reading of Huber: squares or l1 by the error's length, per number, of its length");
    v.option("delta", delta, {0, 1e12}, "threshold; 0 = a gate");
  }
};

class HuberLoss : public rule::Loss {
 public:
  explicit HuberLoss(const rule::Context& c) : own_(own_options<HuberLossOptions>(c.own)) {}
  std::vector<Gate> gates() const override {
    if (own_.delta > 0) return {};
    return {{.name = "delta", .help = "error that counts in full", .scale = 2}};
  }
  Value of(const at::Tensor& outputs, const at::Tensor& values, const rule::Tensors& gates) const override {
    const at::Tensor error = outputs - values;
    const at::Tensor delta = own_.delta > 0 ? at::full({1, 1, 1, 1}, own_.delta, error.options()) : gates.at("delta").clamp_min(1e-6);
    auto huber = [&](const at::Tensor& size) {  // of numbers ≥ 0
      const at::Tensor within = at::minimum(size, delta);
      return within * (size - within / 2);
    };
    if (own_.form == "coordinate") return {huber(error.abs()).sum(3), at::maximum(at::minimum(error, delta), -delta)};
    const at::Tensor length = at::norm(error, 2, {3}, true);
    if (own_.form == "norm") return {huber(length).sum(3), error * (delta / at::maximum(length, delta))};
    const at::Tensor near = length <= delta;
    const at::Tensor loss = at::where(near, length.square() / 2, delta * error.abs().sum(3, true) - delta.square() / 2);
    return {loss.sum(3), at::where(near, error, delta * error.sign())};
  }

 private:
  HuberLossOptions own_;
};

}  // namespace

void register_loss_huber(rule::LossRegistry& registry) {
  registry.add({.name = "huber",
                .summary = "squares of small errors, linear beyond a threshold of every token's own",
                .make = [](const rule::Context& c) { return std::make_shared<HuberLoss>(c); },
                .options = [] { return std::make_shared<HuberLossOptions>(); }});
}

}  // namespace mneme
