// Yaad (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 16, 26): a Huber loss with a threshold δ of every token's own.
//
//   W_t = (1 − α_t) W_{t−1} − θ_t k gᵀ,   e = k W_{t−1} − v            half squares: g = e where nothing is cut
//   form = mixture:     l = ½‖e‖²,  g = e            where ‖e‖ ≤ δ;  else l = δ ‖e‖₁ − ½ δ²,  g = δ sign(e)     eq. 26
//   form = coordinate:  l = Σ huber_δ(e_i),           g_i = max(−δ, min(δ, e_i))                                  eq. 16 of each number
//   form = norm:        l = huber_δ(‖e‖),             g = e min(1, δ / ‖e‖)                                       eq. 16 of the length
//
// The paper prints all three. The mixture jumps: at ‖e‖ = δ the length of g goes from δ to up to δ √V.
// δ = 2 σ(·) per token and head, initially 1, or fixed. Starts at 0.
#include <ATen/ATen.h>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct YaadOptions : Options {
  std::string form = "mixture";
  double delta = 0;
  void describe(OptionVisitor& v) override {
    v.option("form", form, {"mixture", "coordinate", "norm"}, "reading of Huber: squares or l1 by the error's length, per number, of its length");
    v.option("delta", delta, {0, 1e12}, "threshold; 0 = a gate");
  }
};

class Yaad : public memory::LoopMemory {
 public:
  explicit Yaad(const MemoryContext& context) : LoopMemory(context), own_(own_options<YaadOptions>(context.options.own)) {}
  std::vector<Gate> gates() const override {
    std::vector<Gate> all{{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true}};
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias});
    if (own_.delta == 0) all.push_back({.name = "delta", .help = "error that counts in full", .scale = 2});
    return all;
  }

 private:
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    return {{"weights", at::zeros({rows, heads_, key_width_, value_width_}, options)}};
  }

  at::Tensor step(const Token& token, Tensors& state) const override {
    at::Tensor& W = state.at("weights");
    const at::Tensor key = token.key.unsqueeze(-2);  // [B,H,1,K]
    const at::Tensor error = at::matmul(key, W) - token.value.unsqueeze(-2);
    const at::Tensor delta =
        own_.delta > 0 ? at::full({1, 1, 1, 1}, own_.delta, error.options()) : token.gates.at("delta").unsqueeze(-1).clamp_min(1e-6);
    auto huber = [&](const at::Tensor& size) {  // of numbers ≥ 0
      const at::Tensor within = at::minimum(size, delta);
      return within * (size - within / 2);
    };
    at::Tensor g, loss;
    if (own_.form == "coordinate") {
      g = at::maximum(at::minimum(error, delta), -delta), loss = huber(error.abs());
    } else {
      const at::Tensor length = at::norm(error, 2, {3}, true);
      const at::Tensor near = length <= delta;
      if (own_.form == "norm") g = error * (delta / at::maximum(length, delta)), loss = huber(length);
      else
        g = at::where(near, error, delta * error.sign()),
        loss = at::where(near, length.square() / 2, delta * error.abs().sum(3, true) - delta.square() / 2);
    }
    const at::Tensor kept = options_.forgetting ? W * (1 - token.gates.at("alpha")).unsqueeze(-1) : W;
    W = kept - at::matmul(key.transpose(-1, -2), token.gates.at("theta").unsqueeze(-1) * g);
    return loss.sum({2, 3});
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, state.at("weights")); }

  YaadOptions own_;
};

}  // namespace

void register_memory_yaad(MemoryRegistry& registry) {
  registry.add({.name = "yaad",
                .summary = "a Huber loss with a threshold of every token's own (MIRAS)",
                .make = [](const MemoryContext& context) { return std::make_shared<Yaad>(context); },
                .options = [] { return std::make_shared<YaadOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
