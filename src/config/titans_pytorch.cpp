#include "config/titans_pytorch.h"

#include <fmt/format.h>

#include "config/fields.h"

namespace mneme {

MemoryOptions titans_pytorch_memory(MemoryOptions o) {
  o.kind = "neural_mlp", o.form = "residual+norm", o.fast_gain = true, o.inner_loss = "l2_mean", o.activation = "gelu";
  o.features = 0, o.init = "zero", o.gradient = "refresh", o.gradient_at = "previous", o.retention_target = "zero", o.read = "after";
  o.momentum_damping = false, o.clip = 0, o.guard = false;
  o.keys_per_token = 1, o.gate_pooling = "mean", o.gate_per_layer = false, o.gate_per_head = true, o.gate_scale = 1, o.write_penalty = 0;
  return o;
}

void check_titans_pytorch(const ModelOptions& model, const MemoryOptions& memory, Problems& problems) {
  MemoryOptions given = memory, fixed = titans_pytorch_memory(memory), usual;
  const std::vector<Field> of_given = fields_of(given, "memory."), of_fixed = fields_of(fixed, "memory."), of_usual = fields_of(usual, "memory.");
  for (size_t i = 0; i < of_given.size(); ++i)  // a default is nobody's choice
    if (of_given[i].text() != of_fixed[i].text() && of_given[i].text() != of_usual[i].text())
      problems.add(of_given[i].key, fmt::format("is fixed to {} by model.kind = titans_pytorch; leave it out", of_fixed[i].text()));
  if (!model.memory_layers.empty())
    problems.add("model.memory_layers", "is not for model.kind = titans_pytorch, whose every layer is a memory; leave it out");
  if (model.persistent_tokens > 0) problems.add("model.persistent_tokens", "is not for model.kind = titans_pytorch; allowed: 0");
}

}  // namespace mneme
