// Gated DeltaNet (Yang et al., arXiv 2412.06464): the delta rule on a state that decays.
//
//   S_t = a_t S_{t−1} + β_t k_t (v_t − a_t S_{t−1}ᵀ k_t)ᵀ         a = exp(−A softplus(x w + bias)), β in (0, 1) or (0, 2)
#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

struct GatedDeltaNetOptions : Options {
  bool negative_eigenvalues = false;
  void describe(OptionVisitor& v) override {
    v.option("negative_eigenvalues", negative_eigenvalues, "β in (0, 2), not (0, 1): a step may reverse what a key held");
  }
};

class GatedDeltaNet : public memory::RecurrentMemory {
 public:
  explicit GatedDeltaNet(const MemoryContext& context)
      : RecurrentMemory(context), most_(own_options<GatedDeltaNetOptions>(context.options.own).negative_eigenvalues ? 2 : 1) {}
  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "how much of a key's value is replaced", .bias = options_.theta_bias, .scale = most_, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

 private:
  std::string equation() const override { return "S = a S;  S = S + β k (v − Sᵀ k)ᵀ"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &beta = in.gate("beta"), &decay = in.gate("decay");
    return {.query = in.query, .write_key = in.key, .write_value = beta * in.value, .log_decay = decay,
            .erase = decay.exp() * beta * in.key};
  }

  double most_;
};

}  // namespace

void register_memory_gated_deltanet(MemoryRegistry& registry) {
  registry.add({.name = "gated_deltanet",
                .summary = "Gated DeltaNet: the delta rule, what is kept has a gate per head",
                .make = [](const MemoryContext& context) { return std::make_shared<GatedDeltaNet>(context); },
                .options = [] { return std::make_shared<GatedDeltaNetOptions>(); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
