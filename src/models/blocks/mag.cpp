// MAG, memory as a gate: attention (usually over a window) beside the memory, combined (Titans, section 4.2; how:
// src/models/combination.h). Layers outside model.memory_layers are attention.
#include "models/attention_layer.h"
#include "models/combination.h"
#include "memory/layer.h"
#include "mneme/model.h"

namespace mneme {
namespace {

class MagBlock : public Block {
 public:
  explicit MagBlock(const BlockContext& context) {
    attention_ = register_module("attention", std::make_shared<AttentionLayer>(context));
    if (!has_memory(context)) return;
    memory_ = register_module("memory", std::make_shared<MemoryLayer>(context));
    combination_ = Combination(*this, context);
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    const at::Tensor near = attention_->forward(x, state.child("attention"), context);
    if (!memory_) return near;
    return combination_.join(x, combination_.near(near), memory_->forward(x, state.child("memory"), context));
  }

  void reset(State& state, const at::Tensor& rows) override {
    attention_->reset(state.child("attention"), rows);
    if (memory_) memory_->reset(state.child("memory"), rows);
  }

 private:
  std::shared_ptr<AttentionLayer> attention_;
  std::shared_ptr<MemoryLayer> memory_;
  Combination combination_;
};

}  // namespace

void register_block_mag(BlockRegistry& registry) {
  registry.add({.name = "mag",
                .summary = "memory as a gate: window attention beside the memory",
                .make = [](const BlockContext& context) { return std::make_shared<MagBlock>(context); },
                .check = check_rotary_heads});
}

}  // namespace mneme
