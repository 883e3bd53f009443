// Moneta (MIRAS, Behrouz et al., arXiv 2504.13173, eq. 24): an ℓp loss whose steps are kept in A; the map is a link of A.
// Published: (p, q) = (3, 4).
//
//   l(W; k, v) = Σ |e|^p,  e = k W − v                                 sum, so that p = 2 carries the factor 2
//   A_t = (1 − α_t) A_{t−1} − θ_t k gᵀ,   g = p sign(e) |e|^{p−1} at W_{t−1} = link(A_{t−1})
//   link = norm:     sign(A) |A|^{q−1} / ‖A‖_q^{q−2}                   the gradient of ½‖A‖_q², degree 1
//   link = printed:  A / ‖A‖_q^{q−2}                                   degree 3 − q: at q = 4 doubling A halves W
//
// For p > 2 a large error steps beyond any bound. Own: |e| enters g as min(|e|, error_limit), an ℓp loss that goes on linearly; 0 = as
// published, which is not finite for all input. Both links are cut where max |A| < 1e-6. A starts learned, initially normal / √K: at A = 0
// the printed link has a pole, and the other one no gradient.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct MonetaOptions : Options {
  double p = 3, q = 4, error_limit = 1;
  std::string link = "norm";
  void describe(OptionVisitor& v) override {
    v.option("p", p, {1, 8}, "power of the loss");
    v.option("q", q, {2, 8}, "of the link; 2 = none");
    v.option("link", link, {"norm", "printed"}, "from steps to the map: of degree 1, or as the paper prints it");
    v.option("error_limit", error_limit, {0, 1e6}, "where the loss goes on linearly; 0 = nowhere, as published");
  }
};

class Moneta : public memory::LoopMemory {
 public:
  explicit Moneta(const MemoryContext& context) : LoopMemory(context), own_(own_options<MonetaOptions>(context.options.own)) {
    const double scale = 1 / std::sqrt(double(key_width_));
    const at::Tensor initial = at::empty({heads_, key_width_, value_width_}, at::kFloat).normal_(0, scale, context.generator);
    start_ = parameter("start", initial, Role::memory_start);
  }
  std::vector<Gate> gates() const override {
    std::vector<Gate> all{{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true}};
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias});
    return all;
  }

 private:
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    return {{"steps", start_.to(options).unsqueeze(0).expand({rows, -1, -1, -1})}};
  }

  // Degrees hold for the rest of the norm: with the largest entry scaled to 1 nothing overflows, and Σ ≥ 1 unless A is 0.
  at::Tensor link(const at::Tensor& A) const {
    if (own_.q == 2) return A;
    const at::Tensor largest = A.detach().abs().amax({2, 3}, true).clamp_min(1e-6), X = A / largest, size = X.abs();
    const at::Tensor norm = size.pow(own_.q).sum({2, 3}, true).clamp_min(1).pow((own_.q - 2) / own_.q);
    if (own_.link == "printed") return X / norm * largest.pow(3 - own_.q);
    return X.sign() * size.pow(own_.q - 1) / norm * largest;
  }

  at::Tensor step(const Token& token, Tensors& state) const override {
    at::Tensor& A = state.at("steps");
    const at::Tensor key = token.key.unsqueeze(-2);  // [B,H,1,K]
    const at::Tensor error = at::matmul(key, link(A)) - token.value.unsqueeze(-2), size = error.abs();
    const at::Tensor within = own_.error_limit > 0 ? size.clamp_max(own_.error_limit) : size;
    const at::Tensor slope = own_.p * within.clamp_min(1e-12).pow(own_.p - 1);
    const at::Tensor loss = within.pow(own_.p) + (own_.error_limit > 0 ? slope * (size - within) : at::zeros_like(size));
    const at::Tensor kept = options_.forgetting ? A * (1 - token.gates.at("alpha")).unsqueeze(-1) : A;
    A = kept - at::matmul(key.transpose(-1, -2), token.gates.at("theta").unsqueeze(-1) * error.sign() * slope);
    return loss.sum({2, 3});
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, link(state.at("steps"))); }

  MonetaOptions own_;
  at::Tensor start_;
};

}  // namespace

void register_memory_moneta(MemoryRegistry& registry) {
  registry.add({.name = "moneta",
                .summary = "an lp loss, and the map a link of its steps (MIRAS)",
                .make = [](const MemoryContext& context) { return std::make_shared<Moneta>(context); },
                .options = [] { return std::make_shared<MonetaOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
