// Momentum DeltaNet (arXiv 2605.05838): the error of the delta rule goes through a momentum.
//
//   N_t = m_t N_{t−1} + h_t k_t (S_{t−1}ᵀ p_t − v_t)ᵀ;   S_t = a_t S_{t−1} − b_t N_t         p = a k: the error after the decay, or p = k
//
// With p = k, b = 1 and h = 2 θ this is Titans' linear memory with exact gradients (memory.kind = linear). State per row: weights S and
// momentum N [H,K,V], from zero.
#include <ATen/ATen.h>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct MomentumDeltaNetOptions : Options {
  bool decayed = true;
  void describe(OptionVisitor& v) override { v.option("decayed", decayed, "the error is that of the decayed state: p = a k, not p = k"); }
};

class MomentumDeltaNet : public memory::LoopMemory {
 public:
  explicit MomentumDeltaNet(const MemoryContext& context)
      : LoopMemory(context), decayed_(own_options<MomentumDeltaNetOptions>(context.options.own).decayed) {}
  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "step size", .bias = options_.theta_bias, .writes = true},
            {.name = "momentum", .help = "what the momentum keeps", .bias = options_.eta_bias},
            {.name = "release", .help = "how much of the momentum goes to the memory"},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

 private:
  std::string equation() const override { return "N = m N + h k (Sᵀ p − v)ᵀ;  S = a S − b N,  p = k or a k"; }
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    const at::Tensor zero = at::zeros({rows, heads_, key_width_, value_width_}, options);
    return {{"weights", zero}, {"momentum", zero.clone()}};
  }
  at::Tensor step(const Tokens& token, Tensors& state) const override {  // of one token
    at::Tensor &S = state.at("weights"), &N = state.at("momentum");
    auto gate = [&](const char* name) { return token.gates.at(name); };
    auto asked = [&](const at::Tensor& p) { return at::matmul(p, S) - token.value; };  // [B,H,1,V]
    const at::Tensor a = gate("decay").exp(), error = asked(token.key), pushed = decayed_ ? asked(a * token.key) : error;
    N = gate("momentum") * N + gate("theta") * token.key.transpose(2, 3) * pushed;
    S = a * S - gate("release") * N;
    return error.square().sum(-1);
  }
  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, state.at("weights")); }
  bool is_read(const std::string& name) const override { return name == "weights"; }

  bool decayed_;
};

}  // namespace

void register_memory_momentum_deltanet(MemoryRegistry& registry) {
  registry.add({.name = "momentum_deltanet",
                .summary = "Momentum DeltaNet: the error of the delta rule goes through a momentum",
                .make = [](const MemoryContext& context) { return std::make_shared<MomentumDeltaNet>(context); },
                .options = [] { return std::make_shared<MomentumDeltaNetOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
