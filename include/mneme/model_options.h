// Sections `model` and `memory` of a config: what layers around blocks and memories need. A kind's own options are its plug-in's,
// sections `model.<kind>` and `memory.<kind>`. Each option: what it does, here and in `mneme options`; formulas and sources in
// docs/maths.md.
#pragma once

#include "mneme/options.h"

namespace mneme {

struct ModelOptions : Options {
  std::string kind = "transformer";     // a registered block, `mneme list models`
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
  std::string embedding_init = "normal";  // normal, zero
  bool tie_embeddings = true;
  std::string combine = "sum";          // product, product+sum, sum
  std::vector<int64_t> memory_layers;   // empty = every layer
  double dropout = 0;
  std::shared_ptr<Options> own = {};    // of the kind: section model.<kind>
  void describe(OptionVisitor& visitor) override;
  void check(const std::string& prefix, Problems& problems) const override;
};

struct MemoryOptions : Options {
  std::string kind = "linear";          // a registered memory, `mneme list memories`
  int64_t heads = 1;
  int64_t head_width = 0;               // of keys; 0 = model.width / memory.heads
  double expand_v = 1;                  // width of values / head_width
  // the rule of memories that descend an inner loss
  std::string inner_loss = "l2";        // l2, l2_mean, dot, huber
  double huber_delta = 1;
  std::string gradient = "auto";        // auto, exact, refresh, exact_last, sweeps
  std::string gradient_at = "previous"; // of exact: previous, decayed
  int64_t refresh = 64;
  int64_t group = 1;
  std::string read = "after";           // after, before
  bool momentum = true;
  bool momentum_damping = true;
  bool forgetting = true;
  std::string retention_target = "auto";  // auto, zero, init
  double clip = 0;                      // of refresh: largest norm of a token's gradient; 0 = off
  bool guard = true;                    // of refresh: bounds the steps of one interval in any direction
  // queries, keys and gates
  std::string qk_norm = "l2";           // l2, rms, none
  int64_t keys_per_token = 1;
  std::string gate_pooling = "mean";    // with group > 1: mean, attention
  bool gate_per_head = true;
  double theta_max = 0.5;
  double gate_scale = 5;
  std::string fixed_gates = "";         // names of gates that stay at their bias
  double theta_bias = -2;
  double alpha_bias = -10;
  double eta_bias = 0;
  double write_penalty = 0.1;
  double step_cap = 0;                  // θ < (1 − a)/step_cap with what forgetting keeps, a; 0 = off
  int64_t cache = 0;                    // pairs beside the memory, those of the largest writes; 0 = none
  // how it is computed, and controls
  std::string kernel = "auto";          // auto, reference, chunked, fused
  int64_t tile = 64;
  bool off = false;
  bool frozen = false;                  // learns in training rows only: no writes in evaluation
  std::shared_ptr<Options> own = {};    // of the kind: section memory.<kind>
  void describe(OptionVisitor& visitor) override;
};

}  // namespace mneme
