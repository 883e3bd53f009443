// LMM, long-term memory module: the memory is the sequence mixer (Titans, section 4.4). Layers outside
// model.memory_layers are attention.
#include "models/attention_layer.h"
#include "memory/layer.h"
#include "mneme/model.h"

namespace mneme {
namespace {

class LmmBlock : public Block {
 public:
  explicit LmmBlock(const BlockContext& context) {
    if (has_memory(context))
      memory_ = register_module("memory", std::make_shared<MemoryLayer>(context));
    else
      attention_ = register_module("attention", std::make_shared<AttentionLayer>(context));
  }
  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    return memory_ ? memory_->forward(x, state.child("memory"), context) : attention_->forward(x, state.child("attention"), context);
  }
  void reset(State& state, const at::Tensor& rows) override {
    if (memory_) return memory_->reset(state.child("memory"), rows);
    attention_->reset(state.child("attention"), rows);
  }

 private:
  std::shared_ptr<MemoryLayer> memory_;
  std::shared_ptr<AttentionLayer> attention_;
};

}  // namespace

void register_block_lmm(BlockRegistry& registry) {
  registry.add({.name = "lmm",
                .summary = "long-term memory alone as the sequence mixer",
                .make = [](const BlockContext& context) { return std::make_shared<LmmBlock>(context); },
                .attends = false});
}

}  // namespace mneme
