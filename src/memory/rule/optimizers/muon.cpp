// Muon's step (Jordan et al. 2024; as in Atlas, Behrouz et al., arXiv 2505.23735): momentum through five Newton–Schulz steps.
//
//   S_t = η_t S_{t−1} + G_t,   step_t = θ_t NS5(S_t)                   memory.momentum = false: S_t = G_t
//   NS5(S): five times X ← 3.4445 X − 4.7750 X Xᵀ X + 2.0315 (X Xᵀ)² X, from X = S / (‖S‖_F + 1e-7)
//
// NS5 does not orthogonalise: singular values of X in [.05, 1] end in [.68, 1.13]. A step is about θ long in every direction of S, however
// small the error: it does not settle, and the slope of NS5 at S = 0 is 5e9 (finite).
#include <ATen/ATen.h>

#include "memory/rule/optimizer.h"

namespace mneme {
namespace {

at::Tensor newton_schulz(const at::Tensor& S) {  // [B,H,in,out]
  const bool tall = S.size(2) > S.size(3);
  at::Tensor X = S / (at::norm(S, 2, {2, 3}, true) + 1e-7);
  if (tall) X = X.transpose(2, 3);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor A = at::matmul(X, X.transpose(2, 3));
    X = 3.4445 * X + at::matmul(-4.7750 * A + 2.0315 * at::matmul(A, A), X);
  }
  return tall ? X.transpose(2, 3) : X;
}

class MuonDescent : public rule::Optimizer {
 public:
  explicit MuonDescent(const rule::Context& c) : momentum_(c.memory.momentum), eta_bias_(c.memory.eta_bias) {}
  std::vector<Gate> gates() const override {
    if (!momentum_) return {};
    return {{.name = "eta", .help = "momentum", .bias = eta_bias_}};
  }
  bool weighs_tokens() const override { return false; }
  std::vector<std::string> state() const override { return momentum_ ? std::vector<std::string>{"momentum"} : std::vector<std::string>{}; }
  at::Tensor step(const at::Tensor& gradient, const rule::Tensors& gates, rule::Tensors& own) const override {
    at::Tensor S = gradient;
    if (momentum_) S = own["momentum"] = gates.at("eta") * own.at("momentum") + S;
    return gates.at("theta") * newton_schulz(S);
  }

 private:
  bool momentum_;
  double eta_bias_;
};

}  // namespace

void register_optimizer_muon(rule::OptimizerRegistry& registry) {
  registry.add({.name = "muon",
                .summary = "momentum through five Newton–Schulz steps",
                .make = [](const rule::Context& c) { return std::make_shared<MuonDescent>(c); }});
}

}  // namespace mneme
