// EDA (arXiv 2606.26560): before the delta rule, what lies at an erase address of its own is taken out.
//
//   S ← a_t S_{t−1};   S ← S − λ_t ê_t (êᵀ_t S);   S_t = S + β_t k_t (v_t − Sᵀ k_t)ᵀ         ê = unit(x W), λ, β in (0, 1)
//
// Two steps of the recurrence a token: decay and erase, then erase and write.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

// [B,H,T,n] twice → [B,H,2T,n]
at::Tensor alternate(const at::Tensor& first, const at::Tensor& second) { return at::stack({first, second}, 3).flatten(2, 3); }

class Eda : public memory::RecurrentMemory {
 public:
  explicit Eda(const MemoryContext& context) : RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "how much of a key's value is replaced", .bias = options_.theta_bias, .writes = true},
            {.name = "erase", .help = "how much is taken out at the erase address", .bias = options_.alpha_bias},
            {.name = "address", .help = "erase address", .per = Gate::Per::key_channel, .activation = Gate::Activation::identity,
             .previous = false},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

  at::Tensor forward(const MemoryInput& in, State& state) override {
    const at::Tensor &beta = in.gate("beta"), &decay = in.gate("decay"), none = at::zeros_like(beta);
    MemoryInput steps{alternate(in.query, in.query), alternate(in.key, in.key), alternate(in.value, in.value)};
    steps.gates["along"] = alternate(nn::l2_normalize(in.gate("address")), in.key);
    steps.gates["decay"] = alternate(decay, none);
    steps.gates["erase"] = alternate(in.gate("erase"), beta);
    steps.gates["write"] = alternate(none, beta);
    if (in.step.defined()) steps.step = in.step.repeat_interleave(2, 1);
    steps.probe = in.probe, steps.losses = in.losses;
    const at::Tensor reads = RecurrentMemory::forward(steps, state);
    state.position -= in.key.size(2);  // counts tokens
    if (in.losses) *in.losses = in.losses->slice(2, 0, c10::nullopt, 2);
    return reads.slice(2, options_.read == "before" ? 0 : 1, c10::nullopt, 2);
  }

 private:
  std::string equation() const override { return "S = a S;  S = S − λ ê (êᵀ S);  S = S + β k (v − Sᵀ k)ᵀ"; }
  Terms terms(const MemoryInput& steps, State&) const override {
    const at::Tensor &along = steps.gate("along"), &decay = steps.gate("decay");
    return {.query = steps.query, .write_key = along, .write_value = steps.gate("write") * steps.value, .log_decay = decay,
            .erase = decay.exp() * steps.gate("erase") * along};
  }
};

}  // namespace

void register_memory_eda(MemoryRegistry& registry) {
  registry.add({.name = "eda",
                .summary = "EDA: the delta rule, and before it something is taken out at an erase address of its own",
                .make = [](const MemoryContext& context) { return std::make_shared<Eda>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
