// Delta gradient descent, the inner optimiser of HOPE (Behrouz et al., arXiv 2512.24695): a gradient step whose decay depends on the key.
//
//   M_t = M_{t−1} (a_t I − h_t k_t k_tᵀ) − h_t ∇                     ∇ = (M_{t−1} k_t − v_t) k_tᵀ of ½‖·‖², or −v_t k_tᵀ of −⟨M k, v⟩
//
// As printed, with the gradient of the squared error, the same direction is erased twice: a pair that is written again and again settles
// at a read of v/2 (a = 1). loss = dot erases once and settles at v: it is DeltaNet with a decay beside the erasure. Along k the state is
// multiplied by a − 2 h (a − h with dot), so h < (1 + a)/2 (< 1 + a) keeps it stable.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

struct HopeOptions : Options {
  std::string loss = "l2";
  void describe(OptionVisitor& v) override {
    v.option("loss", loss, {"l2", "dot"}, "what ∇ is of: half the squared error (as printed; a repeated pair settles at v/2), or −⟨M k, v⟩");
  }
};

class Hope : public memory::RecurrentMemory {
 public:
  explicit Hope(const MemoryContext& context)
      : RecurrentMemory(context), erased_(own_options<HopeOptions>(context.options.own).loss == "l2" ? 2 : 1) {}
  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

 private:
  std::string equation() const override { return "M = M (a I − h k kᵀ) − h ∇" + std::string(erased_ == 2 ? " of ½‖M k − v‖²" : " of −⟨M k, v⟩"); }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor& theta = in.gate("theta");
    return {.query = in.query, .write_key = in.key, .write_value = theta * in.value, .log_decay = in.gate("decay"),
            .erase = erased_ * theta * in.key};
  }

  double erased_;
};

}  // namespace

void register_memory_hope(MemoryRegistry& registry) {
  registry.add({.name = "hope",
                .summary = "delta gradient descent of HOPE: a gradient step whose decay depends on the key",
                .make = [](const MemoryContext& context) { return std::make_shared<Hope>(context); },
                .options = [] { return std::make_shared<HopeOptions>(); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
