// Linear memory M(k) = k W: one matrix per head (Titans' linear ablation; with exact gradients, the delta rule with
// momentum and forgetting). `memory.features` = n puts a slow, outer-learned feature layer in front: keys and queries
// become unit-length φ(k F) of width n·D, and W is [n·D, D].
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "memory/kernels/linear.h"
#include "mneme/memory.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

using memory::LinearCall;
using memory::LinearWeights;

class LinearMemory : public Memory {
 public:
  explicit LinearMemory(const MemoryContext& context)
      : options_(context.options), width_(context.head_width), key_width_(std::max<int64_t>(options_.features, 1) * width_) {
    const int64_t H = context.heads;
    at::Tensor weights = at::zeros({H, key_width_, width_}, at::kFloat);
    if (options_.init == "random") weights.normal_(0, 1 / std::sqrt(double(key_width_)), context.generator);
    weights_ = register_parameter("weights", weights);
    if (options_.features > 0) {
      std::vector<at::Tensor> heads;
      for (int64_t h = 0; h < H; ++h)
        heads.push_back(nn::orthogonal_weight(width_, key_width_, context.generator, std::sqrt(double(width_))));
      features_ = register_parameter("features", at::stack(heads));
    }
  }

  at::Tensor forward(const MemoryInput& input, State& state) override {
    const int64_t B = input.key.size(0), H = input.key.size(1), T = input.key.size(2);
    if (!state.has("weights")) start(state, B);
    const at::Tensor initial = weights_.unsqueeze(0).expand({B, -1, -1, -1}).reshape({B * H, key_width_, width_});
    auto rows = [&](const at::Tensor& x) { return x.reshape({B * H, T, x.size(3)}); };
    auto gate = [&](const at::Tensor& x) { return x.select(3, 0).reshape({B * H, T}); };
    LinearCall call{rows(features(input.query)), rows(features(input.key)), rows(input.value), gate(input.theta), gate(input.alpha),
                    options_.momentum ? gate(input.eta) : at::Tensor(), exact() ? 1 : options_.refresh, state.position, options_.tile};
    auto held = [&](const char* name) { return state.has(name) ? state.tensor(name).reshape(initial.sizes()) : at::Tensor(); };
    LinearWeights w{held("weights"), held("momentum"), held("refresh_point")};
    // Retention towards the initial weights is the same rule for W − W_init with targets v − k W_init.
    const bool to_init = options_.retention_target == "init";
    if (to_init) {
      call.value = call.value - at::bmm(call.key, initial);
      w.weights = w.weights - initial;
      if (w.refresh_point.defined()) w.refresh_point = w.refresh_point - initial;
    }
    at::Tensor reads = options_.kernel == "reference" ? linear_reference(call, w) : linear_chunked(call, w);
    if (to_init) {
      reads = reads + at::bmm(call.query, initial);
      w.weights = w.weights + initial;
      if (w.refresh_point.defined()) w.refresh_point = w.refresh_point + initial;
    }
    auto store = [&](const char* name, const at::Tensor& x) {
      if (x.defined()) state.tensor(name) = x.view({B, H, key_width_, width_});
    };
    store("weights", w.weights);
    store("momentum", w.momentum);
    store("refresh_point", w.refresh_point);
    state.position += T;
    return reads.view({B, H, T, width_});
  }

  at::Tensor read(const at::Tensor& query, State& state) override {
    return at::matmul(features(query), state.has("weights") ? state.tensor("weights") : weights_);
  }

  void start(State& state, int64_t rows) override {
    const at::Tensor initial = weights_.unsqueeze(0).expand({rows, -1, -1, -1});
    state.tensor("weights") = initial;
    if (options_.momentum) state.tensor("momentum") = at::zeros_like(initial);
    if (!exact()) state.tensor("refresh_point") = initial;
  }

  double flops_per_token() const override {
    const double C = options_.tile, E = double(key_width_), D = double(width_), s = options_.momentum ? 2 : 1;
    // reads and writes of [W; S], the solve's three right-hand sides, two C×C Gram matrices and the read inside the tile
    return 2 * (3 * s * E * D + C * (2 * E + D) + C * (D + s * E) / 2);
  }

 private:
  bool exact() const { return options_.gradient != "refresh" || options_.refresh == 1; }

  at::Tensor features(const at::Tensor& x) const {
    return features_.defined() ? nn::l2_normalize(at::gelu(at::matmul(x, features_))) : x;
  }

  MemoryOptions options_;
  int64_t width_, key_width_;
  at::Tensor weights_, features_;
};

}  // namespace

void register_memory_linear(MemoryRegistry& registry) {
  registry.add({"linear", "one matrix per head: M(k) = k W, exact or refresh gradients, optional slow features",
                [](const MemoryContext& context) { return std::make_shared<LinearMemory>(context); }});
}

}  // namespace mneme
