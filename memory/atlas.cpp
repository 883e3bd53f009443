// Atlas (Behrouz et al., arXiv 2505.23735): the Omega rule's window, its momentum and Muon's step.
//
//   S_t = η_t S_{t−1} + G_t           G_t: the gradient of the window's loss, memory/omega_window.h; squares, factor 2
//   M_t = (1 − α_t) M_{t−1} − θ_t NS5(S_t)
//   NS5(S): five times X ← 3.4445 X − 4.7750 X Xᵀ X + 2.0315 (X Xᵀ)² X, from X = S / (‖S‖_F + 1e-7)
//
// Printed with the signs of an ascent (eqs. 28, 30): this is the descent. NS5 does not orthogonalise: singular values of X in [.05, 1] end in
// [.68, 1.13]. A step is about θ long in every direction of S, however small the error: it does not settle, and the slope of NS5 at S = 0 is
// 5e9 (finite). memory.momentum = false: S_t = G_t. Starts at 0.
#include "memory/omega_window.h"

namespace mneme {
namespace {

at::Tensor newton_schulz(const at::Tensor& S) {  // [B,H,F,V]
  const bool tall = S.size(2) > S.size(3);
  at::Tensor X = S / (at::norm(S, 2, {2, 3}, true) + 1e-7);
  if (tall) X = X.transpose(2, 3);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor A = at::matmul(X, X.transpose(2, 3));
    X = 3.4445 * X + at::matmul(-4.7750 * A + 2.0315 * at::matmul(A, A), X);
  }
  return tall ? X.transpose(2, 3) : X;
}

class Atlas : public memory::OmegaMemory {
 public:
  explicit Atlas(const MemoryContext& context) : OmegaMemory(context) {}
  std::vector<Gate> gates() const override {
    std::vector<Gate> all = window_gates();
    all.insert(all.begin(), {.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true});
    if (options_.momentum) all.push_back({.name = "eta", .help = "momentum", .bias = options_.eta_bias});
    return all;
  }

 private:
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    Tensors state = OmegaMemory::begin(rows, options);
    if (options_.momentum) state["momentum"] = at::zeros_like(state.at("weights"));
    return state;
  }

  at::Tensor step(const Token& token, Tensors& state) const override {
    at::Tensor loss, S = gradient(token, state, loss);
    if (options_.momentum) S = state["momentum"] = token.gates.at("eta").unsqueeze(-1) * state.at("momentum") + S;
    state["weights"] = kept(token, state.at("weights")) - token.gates.at("theta").unsqueeze(-1) * newton_schulz(S);
    return loss;
  }
};

}  // namespace

void register_memory_atlas(MemoryRegistry& registry) {
  registry.add({.name = "atlas",
                .summary = "the Omega rule with momentum and Muon's step",
                .make = [](const MemoryContext& context) { return std::make_shared<Atlas>(context); },
                .options = [] { return std::make_shared<memory::OmegaOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
