// MAG, memory as a gate: attention (usually over a window) beside the memory, combined (Titans, section 4.2).
//
//   product   o = norm(attention) ⊗ norm(memory)                      both normalised by learned vectors
//   sum       o = g ⊙ norm(attention) + (1 − g) ⊙ norm(memory),       g = σ(x W)
#include <ATen/ATen.h>

#include "models/attention_layer.h"
#include "models/memory_layer.h"
#include "models/memory_placement.h"
#include "mneme/model.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

class MagBlock : public Block {
 public:
  explicit MagBlock(const BlockContext& context) : product_(context.model.combine == "product") {
    const int64_t C = context.model.width;
    attention_ = register_module("attention", std::make_shared<AttentionLayer>(context));
    if (!has_memory(context)) return;
    memory_ = register_module("memory", std::make_shared<MemoryLayer>(context));
    attention_norm_ = register_parameter("attention_norm", at::ones({C}, at::kFloat));
    memory_norm_ = register_parameter("memory_norm", at::ones({C}, at::kFloat));
    if (!product_) mix_ = register_parameter("mix", nn::linear_weight(C, C, context.generator));
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    const at::Tensor near = attention_->forward(x, state.child("attention"));
    if (!memory_) return near;
    const at::Tensor a = nn::rms_norm(near, attention_norm_);
    const at::Tensor m = nn::rms_norm(memory_->forward(x, state.child("memory"), context), memory_norm_);
    if (product_) return a * m;
    return at::lerp(m, a, at::linear(x, mix_).sigmoid());
  }

 private:
  bool product_;
  std::shared_ptr<AttentionLayer> attention_;
  std::shared_ptr<MemoryLayer> memory_;
  at::Tensor attention_norm_, memory_norm_, mix_;
};

}  // namespace

void register_block_mag(BlockRegistry& registry) {
  registry.add({"mag", "memory as a gate: window attention beside the memory",
                [](const BlockContext& context) { return std::make_shared<MagBlock>(context); }});
}

}  // namespace mneme
