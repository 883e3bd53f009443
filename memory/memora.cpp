// Memora (MIRAS, Behrouz et al., arXiv 2504.13173, eqs. 21, 27): weights that are positive and sum to c, retained by relative entropy.
//
//   W_t = c softmax((1 − λ_t) log W_{t−1} − θ_t ∇),   ∇ = 2 k eᵀ,  e = k (W_{t−1} − w) − v            of ‖e‖²
//
// softmax over all K V numbers of a head, or over the K that make one number of the value (`over`). λ = α and θ are gates of their own; the
// paper makes both of two others, λ = (1/a)/(1/a + 1/h), θ = 1/(1/a + 1/h). Own: positive weights alone cannot tell signs, so with `signed`
// the map is W − w, w = c/n the uniform weight of n numbers, which is also where forgetting leads: an empty memory reads 0. c = n by
// default: numbers of the map from −1 to n − 1. The state is log W, which cannot overflow; own: no less than log(c) − 30, so that no weight
// gets lost. Starts learned, initially uniform.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/loop_memory.h"

namespace mneme {
namespace {

struct MemoraOptions : Options {
  std::string over = "all";
  double c = 0;
  bool is_signed = true;
  void describe(OptionVisitor& v) override {
    v.option("over", over, {"all", "row"}, "what sums to c: all weights of a head, or those of one number of the value");
    v.option("c", c, {0, 1e6}, "sum of the weights; 0 = how many they are");
    v.option("signed", is_signed, "the map is what weights differ from uniform ones");
  }
};

class Memora : public memory::LoopMemory {
 public:
  explicit Memora(const MemoryContext& context) : LoopMemory(context), own_(own_options<MemoraOptions>(context.options.own)) {
    const double n = double(own_.over == "all" ? key_width_ * value_width_ : key_width_), c = own_.c > 0 ? own_.c : n;
    log_sum_ = std::log(c), uniform_ = own_.is_signed ? c / n : 0;
    start_ = parameter("start", at::zeros({heads_, key_width_, value_width_}, at::kFloat), Role::memory_start);
  }
  std::vector<Gate> gates() const override {
    std::vector<Gate> all{{.name = "theta", .help = "step size", .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true}};
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias});
    return all;
  }

 private:
  static constexpr double kFloor = 30;

  at::Tensor normalized(const at::Tensor& x) const {  // [rows,H,K,V]
    const at::Tensor y = own_.over == "all" ? at::log_softmax(x.flatten(2), 2).view_as(x) : at::log_softmax(x, 2);
    return y.clamp_min(-kFloor) + log_sum_;
  }
  at::Tensor map(const Tensors& state) const { return state.at("log_weights").exp() - uniform_; }

  Tensors begin(int64_t rows, const at::TensorOptions& options) const override {
    return {{"log_weights", normalized(start_.to(options).unsqueeze(0)).expand({rows, -1, -1, -1})}};
  }

  at::Tensor step(const Token& token, Tensors& state) const override {
    at::Tensor& L = state.at("log_weights");
    const at::Tensor key = token.key.unsqueeze(-2);  // [B,H,1,K]
    const at::Tensor error = at::matmul(key, map(state)) - token.value.unsqueeze(-2);
    const at::Tensor kept = options_.forgetting ? L * (1 - token.gates.at("alpha")).unsqueeze(-1) : L;
    L = normalized(kept - at::matmul(key.transpose(-1, -2), token.gates.at("theta").unsqueeze(-1) * error * 2));
    return error.square().sum({2, 3});
  }

  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override { return at::matmul(queries, map(state)); }

  MemoraOptions own_;
  double log_sum_, uniform_;
  at::Tensor start_;
};

}  // namespace

void register_memory_memora(MemoryRegistry& registry) {
  registry.add({.name = "memora",
                .summary = "positive weights of a fixed sum: the steps go through a softmax (MIRAS)",
                .make = [](const MemoryContext& context) { return std::make_shared<Memora>(context); },
                .options = [] { return std::make_shared<MemoraOptions>(); },
                .check = memory::check_loop_rule});
}

}  // namespace mneme
