// What the autograd functions and the compiled engines agree on: tasks of raw pointers, one per batch row and head or part of it, and
// the table of functions that each instruction set provides.
#pragma once

#include <cstdint>

#include "kernels/scratch.h"

namespace mneme::kernels {

struct Rows {  // [tokens, columns], columns contiguous
  const float* data = nullptr;
  int64_t stride = 0;
};

struct MlpShape {
  int64_t tokens, width, hidden, refresh, position;
  bool exact_last, clip, momentum, to_initial;
  bool norm;            ///< residual+norm instead of feature
  bool fast_gain;       ///< its gain is a third fast weight, [1, width]
  int64_t sweeps;       ///< after exact_last; then every tile is a refresh interval
  float guard_limit;    ///< of gradients at the refresh point; 0: no guard, else the same
  float factor;         ///< c of ∇‖e‖² = c e
  int64_t tiles;        ///< of the call
  int64_t slot_floats;  ///< of one saved state

  bool guarded() const { return guard_limit > 0; }
  int layers() const { return fast_gain ? 3 : 2; }
  int64_t in(int l) const { return l == 0 ? width : l == 1 ? hidden : 1; }
  int64_t out(int l) const { return l == 0 ? hidden : width; }
  bool has_refresh_point(int l) const { return l < layers() && (l != 1 || !exact_last); }
};

/// Tiles of a call: they end at multiples of `refresh` (0: none) in the stream and hold at most kTileTokens.
inline int64_t tile_size(int64_t refresh, int64_t position, int64_t left) {
  int64_t size = kTileTokens < left ? kTileTokens : left;
  if (refresh > 0 && refresh - position % refresh < size) size = refresh - position % refresh;
  return size;
}
inline int64_t tile_count(int64_t refresh, int64_t position, int64_t tokens) {
  int64_t count = 0;
  for (int64_t first = 0; first < tokens; ++count) first += tile_size(refresh, position + first, tokens - first);
  return count;
}
/// Weight-shaped pointers are contiguous [in,out]; null where the shape says there are none. A slow gain of residual+norm is the
/// third refresh point.
struct MlpTask {
  Rows query, key, value;
  const float *theta[3], *alpha[3], *eta[3];  ///< [tokens]
  const float *weights[3], *momentum[3], *refresh_point[3], *initial[3];
  float* slots;  ///< [tiles, slot_floats] states at tile starts, kept for backward; null: not kept
  float* reads;  ///< [tokens, width]
  float *end_weights[3], *end_momentum[3], *end_refresh_point[3];
};

struct MlpGradientTask {
  const MlpTask* call;  ///< with its slots
  Rows reads;           ///< incoming gradients, null data: zero
  const float *end_weights[3], *end_momentum[3], *end_refresh_point[3];
  float *query, *key, *value;  ///< outgoing, contiguous
  float *theta[3], *alpha[3], *eta[3], *weights[3], *momentum[3], *refresh_point[3], *initial[3];
};

struct LinearShape {
  int64_t tokens, key_width, value_width, refresh, position;  ///< refresh 0: exact
  bool momentum;
  float factor;  ///< c of ∇‖e‖² = c e
  int64_t tiles, slot_floats;
};

struct LinearTask {
  Rows query, key, value;
  const float *theta, *alpha, *eta, *weights, *momentum, *refresh_point;
  float *slots, *reads, *end_weights, *end_momentum, *end_refresh_point;
};

struct LinearGradientTask {
  const LinearTask* call;
  Rows reads;
  const float *end_weights, *end_momentum, *end_refresh_point;
  float *query, *key, *value, *theta, *alpha, *eta, *weights, *momentum, *refresh_point;
};

struct AttentionShape {
  int64_t queries, keys, prefix, width, window;  ///< the last `queries` keys are the queries' own; width: a multiple of kPad
  float scale;

  int64_t tiles() const { return (queries + kTileTokens - 1) / kTileTokens; }
};

struct AttentionTask {
  Rows query, key, value, prefix_key, prefix_value;
  Matrix out;
  float* log_sum;  ///< [queries] log Σ exp(score)
};

struct AttentionGradientTask {
  const AttentionTask* call;  ///< with its results
  Rows out_bar;
  Matrix query, key, value, prefix_key, prefix_value;  ///< outgoing; all but the query's are added to
};

struct Engine {
  const char* name;
  int64_t (*mlp_scratch)(const MlpShape&);  ///< floats
  int64_t (*mlp_gradient_scratch)(const MlpShape&);
  int64_t (*mlp_slot)(const MlpShape&);
  void (*mlp)(const MlpShape&, const MlpTask&, float* scratch);
  void (*mlp_gradient)(const MlpShape&, const MlpGradientTask&, float* scratch);
  int64_t (*linear_scratch)(const LinearShape&);
  int64_t (*linear_gradient_scratch)(const LinearShape&);
  int64_t (*linear_slot)(const LinearShape&);
  void (*linear)(const LinearShape&, const LinearTask&, float* scratch);
  void (*linear_gradient)(const LinearShape&, const LinearGradientTask&, float* scratch);
  int64_t (*attention_scratch)(const AttentionShape&);
  int64_t (*attention_gradient_scratch)(const AttentionShape&);
  void (*attention)(const AttentionShape&, const AttentionTask&, int64_t tile, float* scratch);
  void (*attention_gradient)(const AttentionShape&, const AttentionGradientTask&, float* scratch);
  void (*product)(int64_t m, int64_t n, int64_t k, float* a, float* b, float* c);  ///< for `mneme bench`: C = A B
};

/// The widest engine this processor runs, or the one use_engine() or MNEME_ISA in the environment asked for.
const Engine& engine();
/// avx512, avx2 or generic; false where the processor does not run it.
bool use_engine(const char* name);

const Engine* avx512_engine();  // null where it cannot run
const Engine* avx2_engine();
const Engine* generic_engine();

}  // namespace mneme::kernels
