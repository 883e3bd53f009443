// Sections `model` and `memory` of a config. Each option: what it does, here and in `mneme options`; formulas and sources
// in docs/maths.md.
#pragma once

#include "mneme/options.h"

namespace mneme {

struct ModelOptions : Options {
  std::string kind = "transformer";     // a registered block: transformer, lmm, mag
  int64_t layers = 2;
  int64_t width = 64;
  int64_t heads = 1;
  int64_t kv_heads = 0;                 // 0 = heads
  std::string ffn = "swiglu";           // swiglu, none
  int64_t ffn_width = 0;                // 0 = 8/3 width, rounded up to a multiple of 64
  std::string positions = "rope";       // rope, none, learned, sinusoidal
  double rope_base = 10000;
  std::string attention = "full";       // full, window
  int64_t window = 64;
  int64_t persistent_tokens = 0;
  int64_t conv_width = 0;               // 0 = no short convolution
  std::string conv_init = "random";     // random, identity, shift
  bool tie_embeddings = true;
  std::string combine = "sum";          // product, sum
  std::vector<int64_t> memory_layers;   // empty = every layer
  double dropout = 0;
  void describe(OptionVisitor& visitor) override;
  void check(const std::string& prefix, Problems& problems) const override;
};

struct MemoryOptions : Options {
  std::string kind = "linear";          // a registered memory: none, linear, neural_mlp
  int64_t heads = 1;
  int64_t head_width = 0;               // 0 = model.width / memory.heads
  int64_t depth = 2;
  int64_t expansion = 1;
  std::string form = "feature";         // of neural_mlp
  int64_t features = 0;                 // of linear: 0 = none, n = slow feature layer of n × head_width
  int64_t refresh = 64;
  int64_t group = 1;
  std::string gradient = "auto";        // auto, exact, refresh, exact_last, sweeps
  int64_t sweeps = 1;
  bool momentum = true;
  bool momentum_damping = true;
  bool forgetting = true;
  double theta_max = 0.5;
  double gate_scale = 5;
  double theta_bias = -2;
  double alpha_bias = -10;
  double eta_bias = 0;
  std::string retention_target = "auto";  // auto, zero, init
  std::string init = "zero";            // of linear: zero, random
  std::string read = "after";           // after, before
  double write_penalty = 0.1;
  std::string kernel = "auto";          // auto, reference, chunked
  int64_t tile = 64;
  bool off = false;
  void describe(OptionVisitor& visitor) override;
  void check(const std::string& prefix, Problems& problems) const override;
};

}  // namespace mneme
