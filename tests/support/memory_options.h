// Options as tests set them: those of section memory and the own options of every kind side by side, without the silent slicing that
// plain inheritance would allow. `made()` is what models take; the oracles written out by hand read the fields.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mneme/model.h"

namespace mneme::test {

struct AnyMemory : private MemoryOptions {
  using MemoryOptions::alpha_bias, MemoryOptions::cache, MemoryOptions::clip, MemoryOptions::eta_bias, MemoryOptions::expand_v,
      MemoryOptions::fixed_gates, MemoryOptions::forgetting, MemoryOptions::frozen,
      MemoryOptions::gate_per_head, MemoryOptions::gate_pooling, MemoryOptions::gate_scale, MemoryOptions::gradient, MemoryOptions::gradient_at,
      MemoryOptions::group, MemoryOptions::guard, MemoryOptions::head_width, MemoryOptions::heads, MemoryOptions::huber_delta,
      MemoryOptions::inner_loss, MemoryOptions::kernel, MemoryOptions::keys_per_token, MemoryOptions::kind, MemoryOptions::momentum,
      MemoryOptions::momentum_damping, MemoryOptions::off, MemoryOptions::qk_norm, MemoryOptions::read, MemoryOptions::refresh,
      MemoryOptions::retention_target, MemoryOptions::step_cap, MemoryOptions::theta_bias, MemoryOptions::theta_max, MemoryOptions::tile, MemoryOptions::write_penalty;
  int64_t depth = 2, expansion = 1, sweeps = 1, features = 0;
  std::string form = "feature", activation = "gelu", init = "zero";
  bool fast_gain = false, gate_per_matrix = true;

  AnyMemory() = default;
  /// Of the kind what it has; the others stay out.
  MemoryOptions made() const;
  /// What was set that the kind has not, and what its rules say.
  void find_problems(Problems& problems) const;
  bool possible() const;  ///< there are none
  /// An option by its key, {"memory", "tile"} or {"memory", kind, "own option"}. ConfigError as in a config.
  void set(const std::vector<std::string>& key, const std::string& text);

 private:
  std::vector<std::pair<std::string, std::string>> set_;  // own options set by key
  std::vector<std::pair<std::string, std::string>> own_values() const;  // that are not defaults
};

/// model.mac.segment, of any kind of model.
void set_segment(ModelOptions& model, int64_t segment);
int64_t segment_of(const ModelOptions& model);

/// The tokens first … first + count − 1 of an input.
MemoryInput part(const MemoryInput& input, int64_t first, int64_t count);

/// The same tensors by name, as near as `tolerance` (relative).
void require_same_state(const State& a, const State& b, double tolerance);

}  // namespace mneme::test
