// Omega rule (OmegaNet; Behrouz et al., arXiv 2505.23735): every step goes down the loss of a window of tokens, not of the last one alone.
//
//   M_t = (1 − α_t) M_{t−1} − θ_t G_t,   G_t = Σ_{i=t−c+1..t} γ_i^(t) ∇‖φ(k_i) M_{t−1} − v_i‖²        memory/omega_window.h; squares, factor 2
//
// Printed with the signs of an ascent (eqs. 11, 20): this is the descent. c = 1 is the delta rule. θ is at most theta_max / (c ‖φ‖²) of unit
// keys, ‖φ‖² = 2.5 of polynomial features as they start: the window's tokens may be one and the same, and the step stays stable.
// Starts at 0.
#include "memory/omega_window.h"

namespace mneme {
namespace {

class Omega : public memory::OmegaMemory {
 public:
  explicit Omega(const MemoryContext& context) : OmegaMemory(context) {}
  std::vector<Gate> gates() const override {
    const double most = options_.theta_max / (double(own_.window) * (own_.features == "none" ? 1 : 2.5));
    std::vector<Gate> all = window_gates();
    all.insert(all.begin(), {.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = most, .writes = true});
    return all;
  }

 private:
  at::Tensor step(const Token& token, Tensors& state) const override {
    at::Tensor loss;
    const at::Tensor G = gradient(token, state, loss);
    state["weights"] = kept(token, state.at("weights")) - token.gates.at("theta").unsqueeze(-1) * G;
    return loss;
  }
};

}  // namespace

void register_memory_omega(MemoryRegistry& registry) {
  registry.add({.name = "omega",
                .summary = "the Omega rule: steps down the loss of a window of tokens",
                .make = [](const MemoryContext& context) { return std::make_shared<Omega>(context); },
                .options = [] { return std::make_shared<memory::OmegaOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
