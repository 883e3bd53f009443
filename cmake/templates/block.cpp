// my_rule: a sequence mixer of its own, here a leaky average whose horizon is a gate, per channel:
//
//   h_t = a_t ⊙ h_{t−1} + (1 − a_t) ⊙ W_v x_t,   a = σ(W_a x + bias)        y_t = W_o (h_t ⊙ SiLU(W_z x_t))
//
// State per row: h [C]. A block with attention or a memory inside makes AttentionLayer (models/attention_layer.h) or MemoryLayer
// (memory/layer.h) its modules, which keep their own states.
#include <ATen/ATen.h>

#include <cmath>

#include "mneme/model.h"
#include "nn/init.h"

namespace mneme {
namespace {

struct MyRuleBlockOptions : Options {
  double horizon = 8;
  void describe(OptionVisitor& v) override { v.option("horizon", horizon, {1.01, 1e6}, "tokens that the average is over at the start of training"); }
};

void check_my_rule(const ModelOptions& model, const MemoryOptions&, Problems& problems) {
  if (model.persistent_tokens > 0) problems.add("model.persistent_tokens", "is not for model.kind = my_rule; allowed: 0");
  if (!model.memory_layers.empty()) problems.add("model.memory_layers", "is not for model.kind = my_rule, which has no memory; leave it out");
}

class MyRuleBlock : public Block {
 public:
  explicit MyRuleBlock(const BlockContext& context) {
    const int64_t C = context.model.width;
    in_ = register_parameter("in", nn::linear_weight(3 * C, C, context.generator));  // a matrix decays unless its role says otherwise
    const double horizon = own_options<MyRuleBlockOptions>(context.model.own).horizon;
    bias_ = parameter("bias", at::full({C}, std::log(horizon - 1), at::kFloat), Role::gate);
    out_ = register_parameter("out", nn::linear_weight(C, C, context.generator));
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    const int64_t B = x.size(0), T = x.size(1), C = x.size(2);
    if (T == 0) return at::empty_like(x);
    const std::vector<at::Tensor> parts = at::linear(x, in_).chunk(3, 2);  // v, a, z [B,T,C]
    at::Tensor keep = at::sigmoid(parts[1] + bias_), write = (1 - keep) * parts[0];
    if (context.mask.defined()) {  // padding changes nothing
      const at::Tensor padding = ~context.mask.unsqueeze(2);
      keep = keep.masked_fill(padding, 1), write = write.masked_fill(padding, 0);
    }
    at::Tensor h = state.has("h") ? state.tensor("h") : at::zeros({B, C}, x.options());
    const std::vector<at::Tensor> keeps = keep.unbind(1), writes = write.unbind(1);
    std::vector<at::Tensor> all;
    for (int64_t t = 0; t < T; ++t) all.push_back(h = keeps[t] * h + writes[t]);
    state.tensor("h") = h;
    state.advance(T);
    return at::linear(at::stack(all, 1) * at::silu(parts[2]), out_);
  }

  void reset(State& state, const at::Tensor& rows) override {
    if (!state.has("h")) return;
    state.tensor("h") = state.tensor("h").masked_fill(rows.unsqueeze(1), 0);
    state.set_clock(state.clock(rows.size(0)).masked_fill(rows.cpu(), 0));
  }

 private:
  at::Tensor in_, bias_, out_;  // [3C,C]: v, a, z; [C]; [C,C]
};

}  // namespace

void register_block_my_rule(BlockRegistry& registry) {
  registry.add({.name = "my_rule",
                .summary = "a leaky average with gates",
                .make = [](const BlockContext& context) { return std::make_shared<MyRuleBlock>(context); },
                .attends = false,
                .has_memory = false,
                .options = [] { return std::make_shared<MyRuleBlockOptions>(); },
                .check = check_my_rule});
}

}  // namespace mneme
