// MAL, memory as a layer: the memory over [persistent ‖ x], then attention, usually over a window, on its normalised output
// (Titans, section 4.3). The attention's persistent tokens are its own learned ones: what the memory says at its persistent
// tokens depends on no input either. Layers outside model.memory_layers are attention.
//
//   m = norm(memory([persistent ‖ x])),   o = m + attention([persistent ‖ x + m])
//
// With model.mal.residual = false, as the paper prints it, o = attention([persistent ‖ m]): what the memory says must then pass a window,
// and x itself the memory.
#include <ATen/ATen.h>

#include "models/attention_layer.h"
#include "memory/layer.h"
#include "mneme/model.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

struct MalOptions : Options {
  bool residual = true;
  void describe(OptionVisitor& v) override { v.option("residual", residual, "m + attention(x + m) of what the memory says, m, not attention(m)"); }
};

class MalBlock : public Block {
 public:
  explicit MalBlock(const BlockContext& context) : residual_(own_options<MalOptions>(context.model.own).residual) {
    if (has_memory(context)) {
      memory_ = register_module("memory", std::make_shared<MemoryLayer>(context));
      memory_norm_ = register_parameter("memory_norm", at::ones({context.model.width}, at::kFloat));
    }
    attention_ = register_module("attention", std::make_shared<AttentionLayer>(context));
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    if (!memory_) return attention_->forward(x, state.child("attention"), context);
    at::Tensor m = nn::rms_norm(memory_->forward(x, state.child("memory"), context), memory_norm_);
    if (context.mask.defined()) m = m.masked_fill(~context.mask.unsqueeze(2), 0);
    if (!residual_) return attention_->forward(m, state.child("attention"), context);
    return m + attention_->forward(x + m, state.child("attention"), context);
  }

  void reset(State& state, const at::Tensor& rows) override {
    if (memory_) memory_->reset(state.child("memory"), rows);
    attention_->reset(state.child("attention"), rows);
  }

 private:
  bool residual_ = false;
  std::shared_ptr<MemoryLayer> memory_;
  std::shared_ptr<AttentionLayer> attention_;
  at::Tensor memory_norm_;
};

}  // namespace

void register_block_mal(BlockRegistry& registry) {
  registry.add({.name = "mal",
                .summary = "memory as a layer: window attention on what the memory says",
                .make = [](const BlockContext& context) { return std::make_shared<MalBlock>(context); },
                .options = [] { return std::make_shared<MalOptions>(); },
                .check = check_rotary_heads,
                .former = {{"residual", "false"}}});
}

}  // namespace mneme
