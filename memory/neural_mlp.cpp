// MLP memory, two layers, `feature` form (memory/kernels/mlp.h): M(k) = k + unit(gelu(k W_1)) W_2.
// Initially W_1 is orthogonal × √D and W_2 = 0, both learned per head; forgetting leads back to them. Each matrix has gates
// of its own; the lower layer's step is r times its gate, r = σ(·) per head, initially 0.1.
#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "memory/kernels/mlp.h"
#include "mneme/memory.h"
#include "nn/init.h"

namespace mneme {
namespace {

using memory::MlpCall;
using memory::MlpWeights;

class MlpMemory : public Memory {
 public:
  explicit MlpMemory(const MemoryContext& context)
      : options_(context.options), width_(context.head_width), hidden_(options_.expansion * width_) {
    std::vector<at::Tensor> lower;
    for (int64_t h = 0; h < context.heads; ++h)
      lower.push_back(nn::orthogonal_weight(width_, hidden_, context.generator, std::sqrt(double(width_))));
    weights_[0] = register_parameter("weights_0", at::stack(lower));
    weights_[1] = register_parameter("weights_1", at::zeros({context.heads, hidden_, width_}, at::kFloat));
    lower_step_ = register_parameter("lower_step", at::full({context.heads}, std::log(0.1 / 0.9), at::kFloat));
  }

  int64_t gate_layers() const override { return 2; }

  at::Tensor forward(const MemoryInput& input, State& state) override {
    const int64_t B = input.key.size(0), H = input.key.size(1), T = input.key.size(2);
    auto rows = [&](const at::Tensor& x) { return x.reshape({B * H, T, width_}); };
    MlpCall call{rows(input.query), rows(input.key), rows(input.value), {}, {}, {}, {}, exact_last(), options_.refresh, state.position,
                 options_.tile};
    for (int l = 0; l < 2; ++l) {
      auto gate = [&](const at::Tensor& x) { return x.select(3, l).reshape({B * H, T}); };
      call.theta[l] = l ? gate(input.theta) : (input.theta.select(3, 0) * lower_step_.sigmoid().view({1, H, 1})).reshape({B * H, T});
      call.alpha[l] = gate(input.alpha);
      if (options_.momentum) call.eta[l] = gate(input.eta);
    }
    const std::array<at::Tensor, 2> initial = per_row(B);
    if (options_.retention_target != "zero") call.initial = initial;
    if (!state.has("weights_0")) start(state, B);
    MlpWeights w = held(state, initial);
    const at::Tensor reads = options_.kernel == "reference" ? mlp_reference(call, w) : mlp_chunked(call, w);
    for (int l = 0; l < 2; ++l) {
      auto store = [&](const char* name, const at::Tensor& x) {
        if (x.defined()) state.tensor(name + std::to_string(l)) = x.view({B, H, x.size(1), x.size(2)});
      };
      store("weights_", w.weights[l]);
      store("momentum_", w.momentum[l]);
      store("refresh_point_", w.refresh_point[l]);
    }
    state.position += T;
    return reads.view({B, H, T, width_});
  }

  at::Tensor read(const at::Tensor& query, State& state) override {
    auto w = [&](int l) { return state.has("weights_0") ? state.tensor("weights_" + std::to_string(l)) : weights_[l]; };
    return query + at::matmul(memory::mlp_features(at::matmul(query, w(0))).unit, w(1));
  }

  void start(State& state, int64_t rows) override {
    for (int l = 0; l < 2; ++l) {
      const std::string layer = std::to_string(l);
      const at::Tensor initial = weights_[l].unsqueeze(0).expand({rows, -1, -1, -1});
      state.tensor("weights_" + layer) = initial;
      if (options_.momentum) state.tensor("momentum_" + layer) = at::zeros_like(initial);
      if (l == 0 || !exact_last()) state.tensor("refresh_point_" + layer) = initial;
    }
  }

  double flops_per_token() const override {
    const double C = double(options_.refresh), D = double(width_), r = double(options_.expansion);
    return 11 * 2 * r * D * D + 4 * C * D * (1 + r) + 2 * C * C;
  }

 private:
  bool exact_last() const { return options_.gradient != "refresh"; }

  std::array<at::Tensor, 2> per_row(int64_t B) const {
    auto expand = [&](const at::Tensor& w) {
      return w.unsqueeze(0).expand({B, -1, -1, -1}).reshape({B * w.size(0), w.size(1), w.size(2)});
    };
    return {expand(weights_[0]), expand(weights_[1])};
  }

  MlpWeights held(State& state, const std::array<at::Tensor, 2>& initial) const {
    MlpWeights w;
    for (int l = 0; l < 2; ++l) {
      auto held = [&](const char* name) {
        const std::string key = name + std::to_string(l);
        return state.has(key) ? state.tensor(key).reshape(initial[l].sizes()) : at::Tensor();
      };
      w.weights[l] = held("weights_"), w.momentum[l] = held("momentum_"), w.refresh_point[l] = held("refresh_point_");
    }
    return w;
  }

  MemoryOptions options_;
  int64_t width_, hidden_;
  std::array<at::Tensor, 2> weights_;
  at::Tensor lower_step_;
};

}  // namespace

void register_memory_neural_mlp(MemoryRegistry& registry) {
  registry.add({"neural_mlp", "two-layer MLP per head with residual: M(k) = k + unit(gelu(k W1)) W2",
                [](const MemoryContext& context) { return std::make_shared<MlpMemory>(context); }});
}

}  // namespace mneme
