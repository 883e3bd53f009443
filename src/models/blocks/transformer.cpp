// Transformer block: causal self-attention, full or over a window (src/models/attention_layer.h).
#include "models/attention_layer.h"
#include "mneme/model.h"

namespace mneme {
namespace {

class TransformerBlock : public Block {
 public:
  explicit TransformerBlock(const BlockContext& context) {
    attention_ = register_module("attention", std::make_shared<AttentionLayer>(context));
  }
  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    return attention_->forward(x, state.child("attention"), context);
  }
  void reset(State& state, const at::Tensor& rows) override { attention_->reset(state.child("attention"), rows); }

 private:
  std::shared_ptr<AttentionLayer> attention_;
};

}  // namespace

void register_block_transformer(BlockRegistry& registry) {
  registry.add({.name = "transformer",
                .summary = "causal self-attention, full or over a window",
                .make = [](const BlockContext& context) { return std::make_shared<TransformerBlock>(context); },
                .has_memory = false,
                .check = check_rotary_heads});
}

}  // namespace mneme
