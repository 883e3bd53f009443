#include "models/combination.h"

#include <ATen/ATen.h>

#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {

Combination::Combination(Block& block, const BlockContext& context) {
  const int64_t C = context.model.width;
  attention_norm_ = block.register_parameter("attention_norm", at::ones({C}, at::kFloat));
  memory_norm_ = block.register_parameter("memory_norm", at::ones({C}, at::kFloat));
  residual_ = context.model.combine == "product+sum";
  if (context.model.combine == "sum") mix_ = block.register_parameter("mix", nn::linear_weight(C, C, context.generator));
}

at::Tensor Combination::near(const at::Tensor& attention) const { return nn::rms_norm(attention, attention_norm_); }

at::Tensor Combination::join(const at::Tensor& x, const at::Tensor& near, const at::Tensor& memory) const {
  const at::Tensor m = nn::rms_norm(memory, memory_norm_);
  if (mix_.defined()) return at::lerp(m, near, at::linear(x, mix_).sigmoid());
  return residual_ ? at::addcmul(near + m, near, m) : near * m;
}

}  // namespace mneme
