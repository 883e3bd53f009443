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

/// Further options and sizes, spread over blocks and memories so that each meets each of them. Small steps where a memory without
/// the defaults' safeguards would blow up: what diverges cannot be compared at 1e-12.
struct Spread {
  std::string name;
  void (*apply)(ModelOptions& model, MemoryOptions& memory);
};

inline const std::vector<Spread>& spreads() {
  static const std::vector<Spread> all{
      {"groups of 4 by attention, width 60", [](ModelOptions& m, MemoryOptions& o) {
         m.width = 60, m.heads = 5, o.heads = 5, o.group = 4, o.gate_pooling = "attention";
       }},
      {"read before, two keys, width 8", [](ModelOptions& m, MemoryOptions& o) {
         m.width = 8, m.heads = 1, o.heads = 1, o.read = "before", o.keys_per_token = 2, m.attention = "window";
       }},
      {"refresh 5 clipped, rms, width 64", [](ModelOptions& m, MemoryOptions& o) {
         m.width = 64, m.heads = 4, o.heads = 1, o.gradient = "refresh", o.refresh = 5, o.clip = 0.5, o.qk_norm = "rms";
       }},
      {"three plain layers, shared gates", [](ModelOptions& m, MemoryOptions& o) {
         m.persistent_tokens = 2, o.depth = 3, o.form = "plain", o.gate_per_layer = false, o.gate_per_head = false, o.theta_max = 0.02;
       }},
      {"two sweeps, mean loss", [](ModelOptions&, MemoryOptions& o) { o.gradient = "sweeps", o.sweeps = 2, o.inner_loss = "l2_mean"; }},
      {"norm with fast gain, Huber", [](ModelOptions& m, MemoryOptions& o) {
         m.combine = "product", o.form = "residual+norm", o.fast_gain = true, o.inner_loss = "huber", o.refresh = 3, o.theta_max = 0.02;
       }},
  };
  return all;
}

inline bool possible(const Variant& v) {
  Problems problems;
  v.model.check("", problems);
  v.memory.check("", problems);
  return problems.list().empty();
}

inline void add_settings(std::vector<Variant>& all, Variant v) {
  v.memory.heads = 2, v.memory.refresh = 8, v.memory.tile = 16;
  all.push_back(v);
  v.name += "/window,persistent,product,learned";
  v.model.attention = "window", v.model.persistent_tokens = 3, v.model.combine = "product", v.model.positions = "learned";
  v.memory.gradient = "refresh";
  all.push_back(v);
  v.name += "/grouped,no conv,sinusoidal";
  v.model.positions = "sinusoidal", v.model.kv_heads = 1, v.model.conv_width = 0, v.model.ffn = "none";
  v.memory.gradient = "auto", v.memory.momentum = false, v.memory.retention_target = "init", v.memory.init = "random";
  all.push_back(v);
  if (v.memory.kind == "none") return;
  v.name += "/one memory layer,features";
  v.model.memory_layers = {1}, v.memory.features = 2;
  if (!possible(v)) v.memory.features = 0;
  all.push_back(v);
  v.name += "/off";
  v.memory.off = true;
  all.push_back(v);
}

inline std::vector<Variant> variants() {
  register_blocks();
  register_memorys();
  std::vector<Variant> all;
  size_t block_number = 0;
  for (const std::string& block : BlockRegistry::instance().names()) {
    size_t number = block_number++;
    for (const std::string& memory : MemoryRegistry::instance().names()) {
      if ((memory == "none") != (block == "transformer")) continue;
      Variant v{block + "/" + memory, small(block), {}};
      v.memory.kind = memory;
      add_settings(all, v);
      if (memory == "none") continue;
      for (size_t i = number++ % 2; i < spreads().size(); i += 2) {
        Variant further = v;
        further.name += "/" + spreads()[i].name;
        further.memory.heads = 2, further.memory.refresh = 8, further.memory.tile = 16;
        spreads()[i].apply(further.model, further.memory);
        if (possible(further)) all.push_back(further);
      }
    }
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
