// Models that the property tests run over: every registered block with every registered memory, in a few settings each.
#pragma once

#include "tests/support/tensors.h"

#include "mneme/errors.h"
#include "mneme/model.h"

namespace mneme {
void register_blocks();
void register_memorys();
}  // namespace mneme

namespace mneme::test {

struct Variant {
  std::string name;
  ModelOptions model;
  MemoryOptions memory;
};

inline ModelOptions small(const std::string& kind) {
  ModelOptions m;
  m.kind = kind;
  m.layers = 2, m.width = 24, m.heads = 2, m.window = 9, m.segment = 7, m.conv_width = 4, m.conv_init = "shift", m.ffn_width = 40;
  return m;
}

inline std::vector<Variant> variants() {
  register_blocks();
  register_memorys();
  std::vector<Variant> all;
  for (const std::string& block : BlockRegistry::instance().names())
    for (const std::string& memory : MemoryRegistry::instance().names()) {
      const bool plain = block == "transformer";
      if ((memory == "none") != plain) continue;
      Variant v{block + "/" + memory, small(block), {}};
      v.memory.kind = memory, v.memory.heads = 2, v.memory.refresh = 8, v.memory.tile = 16;
      all.push_back(v);
      v.name += "/window,persistent,product,learned";
      v.model.attention = "window", v.model.persistent_tokens = 3, v.model.combine = "product", v.model.positions = "learned";
      v.memory.gradient = "refresh";
      all.push_back(v);
      v.name += "/grouped,no conv,sinusoidal";
      v.model.positions = "sinusoidal", v.model.kv_heads = 1, v.model.conv_width = 0, v.model.ffn = "none";
      v.memory.gradient = "auto", v.memory.momentum = false, v.memory.retention_target = "init", v.memory.init = "random";
      all.push_back(v);
      if (plain) continue;
      v.name += "/one memory layer,features";
      v.model.memory_layers = {1}, v.memory.features = memory == "linear" ? 2 : 0;
      all.push_back(v);
      v.name += "/off";
      v.memory.off = true;
      all.push_back(v);
    }
  return all;
}

inline std::shared_ptr<SequenceModel> make(const Variant& v, at::ScalarType dtype) {
  auto model = std::make_shared<SequenceModel>(v.model, v.memory, SequenceModel::Shape{32, 256}, 5);
  // Larger weights, so that gates, reads and later layers all matter; beyond about 0.2 the recurrence of MAC amplifies the last
  // bit of an input a million times, and nothing could be said of 1e-12.
  at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(9);
  for (auto& p : model->parameters()) p.add_(at::empty_like(p).normal_(0, 0.15, generator));
  model->to(dtype);
  return model;
}

inline at::Tensor tokens(int64_t rows, int64_t steps, int seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::empty({rows, steps}, at::kLong).random_(0, 32, generator);
}

inline at::Tensor run(SequenceModel& model, const at::Tensor& x, State& state) {
  ForwardContext context;
  return model.forward(x, state, context);
}
inline at::Tensor run(SequenceModel& model, const at::Tensor& x) {
  State state;
  return run(model, x, state);
}

}  // namespace mneme::test
