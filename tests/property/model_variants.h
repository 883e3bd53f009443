// Models that the property tests run over: every registered block with Titans' two memories in many settings, and every other registered
// memory alone (LMM), beside a window (MAG), and before one, read from what is frozen for a segment (MAC).
#pragma once

#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "mneme/errors.h"
#include "mneme/model.h"

namespace mneme::test {

struct Variant {
  std::string name;
  ModelOptions model;
  AnyMemory memory;
};

inline ModelOptions small(const std::string& kind) {
  ModelOptions m;
  m.kind = kind;
  m.layers = 2, m.width = 24, m.heads = 2, m.window = 9, m.conv_width = 4, m.conv_init = "shift", m.ffn_width = 40;
  set_segment(m, 7);
  return m;
}

/// Further options and sizes, spread over blocks and memories so that each block meets each of them. Memory heads are 1 or 5, 8, 24, 60
/// or 64 wide. Small steps where a memory without the defaults' safeguards would blow up: what diverges cannot be compared at 1e-12.
struct Spread {
  std::string name;
  void (*apply)(ModelOptions& model, AnyMemory& memory);
};

inline const std::vector<Spread>& spreads() {
  static const std::vector<Spread> all{
      {"groups of 4 by attention, 5 heads of 8", [](ModelOptions& m, AnyMemory& o) {
         m.width = 40, m.heads = 5, o.heads = 5, o.group = 4, o.gate_pooling = "attention";
       }},
      {"read before, two keys, a head of 8", [](ModelOptions& m, AnyMemory& o) {
         m.width = 8, m.heads = 1, o.heads = 1, o.read = "before", o.keys_per_token = 2, m.attention = "window";
       }},
      {"refresh 5 clipped, rms, a head of 64", [](ModelOptions& m, AnyMemory& o) {
         m.width = 64, m.heads = 4, o.heads = 1, o.gradient = "refresh", o.refresh = 5, o.clip = 0.5, o.qk_norm = "rms";
       }},
      {"three plain layers, shared gates, 5 heads of 24", [](ModelOptions& m, AnyMemory& o) {
         m.persistent_tokens = 2, o.heads = 5, o.head_width = 24;
         o.depth = 3, o.form = "plain", o.gate_per_matrix = false, o.gate_per_head = false, o.theta_max = 0.02;
       }},
      {"two sweeps, mean loss, a head of 60", [](ModelOptions& m, AnyMemory& o) {
         m.heads = 1, o.heads = 1, o.head_width = 60, o.gradient = "sweeps", o.sweeps = 2, o.inner_loss = "l2_mean";
       }},
      {"stale groups of 2 in intervals of 6, guarded", [](ModelOptions& m, AnyMemory& o) {
         m.attention = "window", o.gradient = "refresh", o.refresh = 6, o.group = 2;
       }},
      {"norm with fast gain, Huber", [](ModelOptions& m, AnyMemory& o) {
         m.combine = "product", o.form = "residual+norm", o.fast_gain = true, o.inner_loss = "huber", o.refresh = 3, o.theta_max = 0.02;
       }},
      {"sweeps of groups of 4, two keys", [](ModelOptions& m, AnyMemory& o) {
         m.attention = "window", o.gradient = "sweeps", o.group = 4, o.keys_per_token = 2;
       }},
  };
  return all;
}

inline bool has_memory(const Variant& v) { return BlockRegistry::instance().get(v.model.kind).has_memory; }

inline bool possible(const Variant& v) {
  Problems problems;
  v.model.check("", problems);
  return problems.empty() && v.memory.possible();
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
  if (!has_memory(v)) return;
  v.name += "/one memory layer,features";
  v.model.memory_layers = {1}, v.memory.features = 2;
  if (!possible(v)) v.memory.features = 0;
  all.push_back(v);
  v.name += "/off";
  v.memory.off = true;
  all.push_back(v);
}

/// Each spread with one memory of the block, in turn, or with the next one where options do not go together.
inline void add_spreads(std::vector<Variant>& all, const std::string& block, const std::vector<std::string>& memories, size_t turn) {
  for (size_t i = 0; i < spreads().size(); ++i)
    for (size_t other = 0; other < memories.size(); ++other) {
      Variant v{block + "/" + memories[(turn + i + other) % memories.size()], small(block), {}};
      v.memory.kind = v.name.substr(block.size() + 1);
      v.name += "/" + spreads()[i].name;
      v.memory.heads = 2, v.memory.refresh = 8, v.memory.tile = 16;
      spreads()[i].apply(v.model, v.memory);
      if (!possible(v)) continue;
      all.push_back(v);
      break;
    }
}

/// Any other memory: alone, and in one further setting of four, in turn. Under sanitizers, where all is ten times slower, every fourth.
inline void add_plain(std::vector<Variant>& all, const std::string& memory, size_t turn) {
#ifdef __SANITIZE_ADDRESS__
  if (turn % 4 != 0) return;
#endif
  const std::string block = turn % 4 == 1 || turn % 4 == 3 ? "mag" : turn % 4 == 2 ? "mac" : "lmm";
  Variant v{"lmm/" + memory, small("lmm"), {}};
  v.memory.kind = memory, v.memory.heads = 2, v.memory.head_width = 6, v.memory.tile = 16;
  if (memory == "atlas") v.memory.theta_max = 1e-4;  // its Newton-Schulz step makes steps of rounding where the error is small
  all.push_back(v);
  Variant other{block + "/" + memory + "/further", small(block), v.memory};
  other.memory.tile = 4;
  if (block == "lmm") other.memory.keys_per_token = 2, other.memory.read = "before", other.model.persistent_tokens = 2, other.model.conv_width = 0;
  else other.model.attention = "window", other.model.memory_layers = {1};
  if (turn % 4 == 3) other.memory.off = true;
  all.push_back(other);
}

inline std::vector<Variant> variants() {
  register_blocks();
  register_memories();
  std::vector<Variant> all;
  size_t turn = 0;
  for (const std::string& block : BlockRegistry::instance().names()) {
    std::vector<std::string> memories;
    for (const std::string memory : {"linear", "neural_mlp"}) {
      if (!BlockRegistry::instance().get(block).has_memory && memory != "linear") continue;  // it stands for none
      if (block == "titans_pytorch" && memory != "neural_mlp") continue;  // its memory is the package's, whatever the option says
      Variant v{block + "/" + memory, small(block), {}};
      v.memory.kind = memory;
      add_settings(all, v);
      if (has_memory(v)) memories.push_back(memory);
    }
    if (!memories.empty()) add_spreads(all, block, memories, turn++);
  }
  turn = 0;
  for (const std::string& memory : MemoryRegistry::instance().names())
    if (memory != "linear" && memory != "neural_mlp") add_plain(all, memory, turn++);
  return all;
}

inline std::shared_ptr<SequenceModel> make(const Variant& v, at::ScalarType dtype) {
  auto model = std::make_shared<SequenceModel>(v.model, v.memory.made(), SequenceModel::Shape{32, 256}, 5);
  // Larger weights, so that gates, reads and later layers all matter. Much larger ones, and the recurrence of MAC amplifies the last
  // bit of an input (0.15: 70 000 times over 100 tokens with groups and sweeps), so that nothing could be said of 1e-12.
  at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(9);
  for (auto& p : model->parameters()) p.add_(at::empty_like(p).normal_(0, 0.1, generator));
  model->to(dtype);
  return model;
}

inline at::Tensor tokens(int64_t rows, int64_t steps, int seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::empty({rows, steps}, at::kLong).random_(0, 32, generator);
}

}  // namespace mneme::test
