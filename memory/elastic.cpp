// Elastic net retention (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 22): what is small is forgotten altogether.
//
//   W_t = soft_γ((1 − α_t) W_{t−1} − θ_t ∇),   ∇ = 2 k eᵀ,  e = k W_{t−1} − v,   soft_γ(z) = sign(z) max(0, |z| − γ)         of ‖e‖²
//
// γ is per token: a weight that is never written again lasts |W|/γ tokens. Starts at 0.
#include <ATen/ATen.h>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct ElasticOptions : Options {
  double gamma = 0.001;
  void describe(OptionVisitor& v) override { v.option("gamma", gamma, {0, 1e6}, "what every weight loses per token"); }
};

class Elastic : public memory::LoopMemory {
 public:
  explicit Elastic(const MemoryContext& context) : LoopMemory(context), gamma_(own_options<ElasticOptions>(context.options.own).gamma) {}
  std::vector<Gate> gates() const override {
    std::vector<Gate> all{{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true}};
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias});
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
    const at::Tensor kept = options_.forgetting ? W * (1 - token.gates.at("alpha")).unsqueeze(-1) : W;
    W = at::softshrink(kept - at::matmul(key.transpose(-1, -2), token.gates.at("theta").unsqueeze(-1) * error * 2), gamma_);
    return error.square().sum({2, 3});
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, state.at("weights")); }

  double gamma_;
};

}  // namespace

void register_memory_elastic(MemoryRegistry& registry) {
  registry.add({.name = "elastic",
                .summary = "elastic net retention: every token takes a little of every weight (MIRAS)",
                .make = [](const MemoryContext& context) { return std::make_shared<Elastic>(context); },
                .options = [] { return std::make_shared<ElasticOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
