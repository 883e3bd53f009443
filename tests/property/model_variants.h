// Models that the property tests run over: every block with Titans' two memories in many settings, and every other memory alone (LMM),
// beside a window (MAG), and before one, read from what is frozen for a segment (MAC). Which blocks and memories: subjects.h.
#pragma once

#include "tests/support/tensors.h"
#include "tests/property/subjects.h"
#include "tests/support/memory_options.h"

#include <algorithm>

#include "base/text.h"
#include "config/fields.h"
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
      {"a cache of 5", [](ModelOptions& m, AnyMemory& o) { m.attention = "window", m.persistent_tokens = 2, o.cache = 5; }},
  };
  return all;
}

inline bool has_memory(const Variant& v) { return BlockRegistry::instance().get(v.model.kind).has_memory; }

inline bool possible(const Variant& v) {
  Problems problems;
  v.model.check("", problems);
  return problems.empty() && v.memory.possible();
}

/// What the settings asked for (subjects.h) say of the kinds of a variant. ConfigError: an option there is not, or a text that is no value.
inline void apply_settings(Variant& v) {
  for (const auto& [key, text] : subjects().settings) {
    const std::vector<std::string> parts = split(key, '.');
    if (parts.at(0) == "memory" && (parts.size() == 2 || parts[1] == v.memory.kind)) v.memory.set(parts, text);
    if (parts[0] != "model" || (parts.size() == 3 && parts[1] != v.model.kind)) continue;
    if (parts.size() == 3) set_own(v.model, parts[2], text);
    bool known = parts.size() == 3;
    for (Field& field : fields_of(v.model, "model.")) {
      if (field.key != key) continue;
      known = true;
      if (const std::string wrong = field.parse(text); !wrong.empty()) throw ConfigError(key + " = " + text + ": " + wrong);
    }
    if (!known) throw ConfigError(key + ": there is no such option (mneme options model. lists them)");
  }
}

/// Of the kind's own options each other choice: (name, text).
inline std::vector<std::pair<std::string, std::string>> other_choices(const std::function<std::shared_ptr<Options>()>& make) {
  std::vector<std::pair<std::string, std::string>> all;
  const std::shared_ptr<Options> own = make ? make() : nullptr;
  if (!own) return all;
  for (const Field& field : fields_of(*own, ""))
    if (field.type == "choice" || field.type == "truth value")
      for (const std::string& text : split(field.range, '|'))
        if (text != field.text()) all.push_back({field.key, text});
  return all;
}

inline void add_settings(std::vector<Variant>& all, Variant v) {
  all.push_back(v);
  v.name += "/window,persistent,product,learned";
  v.model.attention = "window", v.model.persistent_tokens = 3, v.model.combine = "product", v.model.positions = "learned";
  v.memory.gradient = "refresh";
  all.push_back(v);
  v.name += "/grouped,no conv,sinusoidal,product+sum";
  v.model.positions = "sinusoidal", v.model.kv_heads = 1, v.model.conv_width = 0, v.model.ffn = "none", v.model.combine = "product+sum";
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

/// What its rules say of a variant, one line each; empty: nothing.
inline std::string problems_of(const Variant& v) {
  Problems problems;
  v.model.check("model.", problems);
  if (const auto& check = BlockRegistry::instance().get(v.model.kind).check) check(v.model, v.memory.made(), problems);
  v.memory.find_problems(problems);
  std::vector<std::string> lines;
  for (const auto& [key, message] : problems.list()) lines.push_back(key + " " + message);
  return join(lines, "; ");
}

/// Small tiles and refresh intervals, where the memory has any: a plug-in's rules may refuse what it does not read.
inline void set_tile(Variant& v, int64_t tile) {
  v.memory.tile = tile;
  if (subjects().chosen && !problems_of(v).empty()) v.memory.tile = AnyMemory().tile;
}
inline void set_refresh(Variant& v, int64_t refresh) {
  v.memory.refresh = refresh;
  if (subjects().chosen && !problems_of(v).empty()) v.memory.refresh = AnyMemory().refresh;
}

/// Each spread with one memory of the block, in turn, or with the next one where options do not go together. Of a plug-in the last one stays
/// even so: `variants` leaves it out and says why.
inline void add_spread(std::vector<Variant>& all, const std::string& block, const std::vector<std::string>& memories, size_t turn, const Spread& spread) {
  for (size_t other = 0; other < memories.size(); ++other) {
    Variant v{block + "/" + memories[(turn + other) % memories.size()], small(block), {}};
    v.memory.kind = v.name.substr(block.size() + 1);
    v.name += "/" + spread.name;
    v.memory.heads = 2;
    set_refresh(v, 8), set_tile(v, 16);
    apply_settings(v);
    spread.apply(v.model, v.memory);
    const bool said = subjects().chosen && other + 1 == memories.size();
    if (!possible(v) && !said) continue;
    all.push_back(v);
    return;
  }
}

inline void add_spreads(std::vector<Variant>& all, const std::string& block, const std::vector<std::string>& memories, size_t turn) {
  for (size_t i = 0; i < spreads().size(); ++i) add_spread(all, block, memories, turn + i, spreads()[i]);
}

/// Any other memory, alone.
inline Variant memory_alone(const std::string& memory) {
  Variant v{"lmm/" + memory, small("lmm"), {}};
  v.memory.kind = memory, v.memory.heads = 2, v.memory.head_width = 6;
  set_tile(v, 16);
  if (memory == "atlas") v.memory.theta_max = 1e-4;  // its Newton-Schulz step makes steps of rounding where the error is small
  apply_settings(v);
  return v;
}

/// The same with two keys a token that is read before its write; beside a window; before one, both in groups where there are; and off.
constexpr size_t kFurther = 4;
inline Variant memory_further(const std::string& memory, size_t which) {
  const char* const blocks[kFurther] = {"lmm", "mag", "mac", "mag"};
  const std::string block = blocks[which];
  Variant v = memory_alone(memory);
  v.name = block + "/" + memory + "/further", v.model = small(block);
  apply_settings(v);
  set_tile(v, 4);
  if (block == "lmm") v.memory.keys_per_token = 2, v.memory.read = "before", v.model.persistent_tokens = 2, v.model.conv_width = 0;
  else v.model.attention = "window", v.model.memory_layers = {1};
  const int64_t group = v.memory.group;
  if (which == 3) v.memory.off = true, v.name += ", off";
  else if (which > 0) v.memory.group = 3;
  if (!possible(v)) v.memory.group = group;  // a rule that has no groups
  return v;
}

/// Alone, and in one further setting, in turn. Under sanitizers, where all is ten times slower, every fourth memory.
inline void add_plain(std::vector<Variant>& all, const std::string& memory, size_t turn) {
#ifdef __SANITIZE_ADDRESS__
  if (turn % 4 != 0) return;
#endif
  all.push_back(memory_alone(memory));
  all.push_back(memory_further(memory, turn % kFurther));
}

/// All that a memory of a plug-in is tested in: also the spreads above, and every choice that its own options have.
inline void add_whole(std::vector<Variant>& all, const std::string& memory) {
  all.push_back(memory_alone(memory));
  for (size_t which = 0; which < kFurther; ++which) all.push_back(memory_further(memory, which));
  for (const auto& [name, text] : other_choices(MemoryRegistry::instance().get(memory).options)) {
    Variant v = memory_alone(memory);
    v.name += "/" + name + " = " + text;
    v.memory.set({"memory", memory, name}, text);
    all.push_back(v);
  }
  const char* const blocks[] = {"lmm", "mag", "mac"};
  for (size_t i = 0; i < spreads().size(); ++i) add_spread(all, blocks[i % 3], {memory}, 0, spreads()[i]);
}

inline void add_block(std::vector<Variant>& all, const std::string& block, size_t& turn) {
  std::vector<std::string> memories;
  for (const std::string memory : {"linear", "neural_mlp"}) {
    if (!BlockRegistry::instance().get(block).has_memory && memory != "linear") continue;  // it stands for none
    if (block == "titans_pytorch" && memory != "neural_mlp") continue;  // its memory is the package's, whatever the option says
    Variant v{block + "/" + memory, small(block), {}};
    v.memory.kind = memory, v.memory.heads = 2, v.memory.refresh = 8, v.memory.tile = 16;
    apply_settings(v);
    add_settings(all, v);
    if (has_memory(v)) memories.push_back(memory);
  }
  if (!memories.empty()) add_spreads(all, block, memories, turn++);
  if (!subjects().chosen) return;
  for (const auto& [name, text] : other_choices(BlockRegistry::instance().get(block).options)) {
    Variant v{block + "/linear/" + name + " = " + text, small(block), {}};
    v.memory.heads = 2, v.memory.refresh = 8, v.memory.tile = 16;
    apply_settings(v);
    set_own(v.model, name, text);
    all.push_back(v);
  }
}

/// `left_out`: the variants of a plug-in that its own rules refuse, with what they say.
inline std::vector<Variant> variants(std::vector<std::string>* left_out = nullptr) {
  register_blocks();
  register_memories();
  const bool chosen = subjects().chosen;
  std::vector<Variant> all;
  size_t turn = 0;
  for (const std::string& block : chosen ? subjects().blocks : BlockRegistry::instance().names()) add_block(all, block, turn);
  if (!chosen) {
    turn = 0;
    for (const std::string& memory : MemoryRegistry::instance().names())
      if (memory != "linear" && memory != "neural_mlp") add_plain(all, memory, turn++);
    return all;
  }
  for (const std::string& memory : subjects().memories) add_whole(all, memory);
  std::erase_if(all, [&](const Variant& v) {
    const std::string why = problems_of(v);
    if (!why.empty() && left_out) left_out->push_back(v.name + ": " + why);
    return !why.empty();
  });
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
