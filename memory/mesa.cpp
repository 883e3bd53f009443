// MesaNet (von Oswald et al., arXiv 2506.05233): every read is that of the ridge regression over all that was written, by an exact solve.
//
//   G_t = a_t G_{t−1} + β_t k_t v_tᵀ;   H_t = a_t H_{t−1} + β_t k_t k_tᵀ;   y_t = G_tᵀ (H_t + Λ)⁻¹ q_t
//
// Λ = diag(1/4 + softplus(·)), learned per head and channel, from 1. State per row: weights G [H,K,V] and keys H [H,K,K], from zero.
// Every token's H_t is made, K² numbers a token and head, for one tile at a time (a call that keeps gradients keeps them all).
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Mesa : public Memory {
 public:
  explicit Mesa(const MemoryContext& context)
      : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
    ridge_ = parameter("ridge", at::full({heads_, key_width_}, std::log(std::expm1(.75)), at::kFloat), Role::memory_start);
  }

  MemoryDescription describe(const CallShape& call) const override {
    return {"G = a G + β k vᵀ;  H = a H + β k kᵀ;  y = Gᵀ (H + Λ)⁻¹ q", memory::recurrence_kernels(options_.kernel, call)};
  }

  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "weight of a token", .bias = options_.theta_bias, .writes = true},
            {.name = "decay", .help = "logarithm of what is kept", .activation = Gate::Activation::log_decay, .bias = options_.alpha_bias,
             .previous = false}};
  }

  at::Tensor forward(const MemoryInput& in, State& state) override {
    const int64_t B = in.key.size(0), T = in.key.size(2);
    if (!state.has("weights")) start(state, B);
    at::Tensor &G = state.tensor("weights"), &H = state.tensor("keys");
    if (in.losses || in.probe) {  // surprise ‖y_{t−1}(k_t) − v_t‖²: a second pass, of values only
      const at::NoGradGuard values_only;
      at::Tensor g = G, h = H;
      const at::Tensor losses = (reads(in, in.key, true, g, h) - in.value).square().sum(-1);
      if (in.losses) *in.losses = losses;
      if (in.probe && T > 0) {
        in.probe->mean({"surprise", "1", "squared error of a token's value before its own write, mean"}, losses.mean().item<double>(),
                       double(losses.numel()));
        in.probe->mean({"weights_norm", "1", "Frobenius norm of a head's state after a call, root mean square"},
                       std::sqrt(g.square().sum().item<double>() / double(B * heads_)), double(T));
      }
    }
    state.position += T;
    return reads(in, in.query, options_.read == "before", G, H);
  }

  at::Tensor read(const at::Tensor& query, State& state) override {
    if (!state.has("weights")) return at::zeros({query.size(0), heads_, query.size(2), value_width_}, query.options());
    const at::Tensor A = state.tensor("keys") + at::diag_embed(ridge());
    return at::matmul(at::linalg_solve(A, query.transpose(2, 3)).transpose(2, 3), state.tensor("weights"));
  }

  void start(State& state, int64_t rows) override {
    state.tensor("weights") = at::zeros({rows, heads_, key_width_, value_width_}, ridge_.options());
    state.tensor("keys") = at::zeros({rows, heads_, key_width_, key_width_}, ridge_.options());
  }

  int64_t period() const override { return 1; }

 private:
  at::Tensor ridge() const { return .25 + at::softplus(ridge_); }  // [H,K]

  // Reads [B,H,T,V] of the queries; G and H move on. H is a recurrence with one key channel, the matrix a row.
  at::Tensor reads(const MemoryInput& in, const at::Tensor& queries, bool before, at::Tensor& G, at::Tensor& H) const {
    const int64_t B = in.key.size(0), T = in.key.size(2), K = key_width_;
    if (T == 0) return at::empty_like(in.value);
    at::Tensor beta = in.gate("beta"), decay = in.gate("decay");
    if (in.step.defined()) {  // a token that is none
      const at::Tensor none = ~in.step.view({B, 1, T, 1});
      beta = beta.masked_fill(none, 0), decay = decay.masked_fill(none, 0);
    }
    const at::Tensor ridges = at::diag_embed(ridge()).repeat({B, 1, 1}).view({B, heads_, 1, K, K});
    auto run = [&](memory::LinearRecurrence call, at::Tensor& state) {
      call.read_before = before, call.tile = options_.tile;
      return memory::linear_recurrence(call, state, options_.kernel);
    };
    auto tiles = [&](const at::Tensor& x) { return x.split(options_.tile, 2); };
    const std::vector<at::Tensor> q = tiles(queries), k = tiles(in.key), u = tiles(beta * in.value), b = tiles(beta), a = tiles(decay);
    at::Tensor h = H.flatten(2).unsqueeze(2);  // [B,H,1,K²]
    std::vector<at::Tensor> all;
    for (size_t i = 0; i < q.size(); ++i) {
      const at::Tensor one = at::ones_like(b[i]);
      const at::Tensor keys = run({one, one, ((b[i] * k[i]).unsqueeze(4) * k[i].unsqueeze(3)).flatten(3), a[i]}, h);
      const at::Tensor solved = at::linalg_solve(keys.unflatten(3, at::IntArrayRef({K, K})) + ridges, q[i].unsqueeze(4)).squeeze(4);
      all.push_back(run({solved, k[i], u[i], a[i]}, G));
    }
    H = h.view({B, heads_, K, K});
    return at::cat(all, 2);
  }

  MemoryOptions options_;
  int64_t heads_, key_width_, value_width_;
  at::Tensor ridge_;  // [H,K], before softplus
};

}  // namespace

void register_memory_mesa(MemoryRegistry& registry) {
  registry.add({.name = "mesa",
                .summary = "MesaNet: a read is that of the ridge regression over all that was written, by an exact solve",
                .make = [](const MemoryContext& context) { return std::make_shared<Mesa>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
