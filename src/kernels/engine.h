// What the autograd functions and the engines agree on: tasks of raw pointers, one per batch row and head or part of it, and the table
// of functions that each instruction set provides. An engine is src/kernels/engine/ compiled for one instruction set, and nothing of it
// runs before dispatch.cpp, which is compiled for any processor, has asked this one. What both sides include is therefore plain data and
// functions that are always inlined or internal.
#pragma once

#include "kernels/sizes.h"

#define MNEME_ALWAYS_INLINE inline __attribute__((always_inline))

namespace mneme::kernels {

struct Rows {  // [tokens, columns], columns contiguous
  const float* data;
  int64_t stride;
};
struct RowsOut {
  float* data;
  int64_t stride;
};

struct NetworkShape {
  int64_t tokens, width, value_width;  ///< the same width but for `linear`
  int64_t hidden;                      ///< of the forms with two matrices
  int64_t refresh, position;           ///< refresh 0: `linear`, exact
  Form form;
  bool exact_last, clip, momentum, to_initial;
  bool fast_gain;       ///< of residual_norm: its gain is a third fast weight, [1, width]
  int64_t sweeps;       ///< after exact_last; then every tile is a refresh interval
  float guard_limit;    ///< of gradients at the refresh point; 0: no guard, else the same
  float factor;         ///< c of ∇‖e‖² = c e
  int64_t tiles;        ///< of the call
  int64_t slot_floats;  ///< of one saved state

  MNEME_ALWAYS_INLINE bool norm() const { return form == Form::residual_norm; }
  MNEME_ALWAYS_INLINE bool guarded() const { return guard_limit > 0; }
  MNEME_ALWAYS_INLINE int matrices() const { return form == Form::linear ? 1 : 2; }
  MNEME_ALWAYS_INLINE int layers() const { return matrices() + (fast_gain ? 1 : 0); }
  MNEME_ALWAYS_INLINE int64_t in(int l) const { return l == 0 ? width : l == 1 ? hidden : 1; }
  MNEME_ALWAYS_INLINE int64_t out(int l) const { return l + 1 < matrices() ? hidden : value_width; }
  MNEME_ALWAYS_INLINE bool has_refresh_point(int l) const { return l < layers() && (l + 1 != matrices() || !exact_last); }
};

static inline int64_t tile_count(int64_t refresh, int64_t position, int64_t tokens) {
  int64_t count = 0;
  for (int64_t first = 0; first < tokens; ++count) first += tile_size(refresh, position + first, tokens - first);
  return count;
}

/// Weight-shaped pointers are contiguous [in,out]; null where the shape says there are none. A slow gain of residual_norm is the
/// third refresh point.
struct NetworkTask {
  Rows query, key, value;
  const float *theta[kMaxFastWeights], *alpha[kMaxFastWeights], *eta[kMaxFastWeights];  ///< [tokens]
  const float *weights[kMaxFastWeights], *momentum[kMaxFastWeights], *refresh_point[kMaxFastWeights], *initial[kMaxFastWeights];
  float* slots;  ///< [tiles, slot_floats] states at tile starts, kept for backward; null: not kept
  float* reads;  ///< [tokens, value_width]
  float *end_weights[kMaxFastWeights], *end_momentum[kMaxFastWeights], *end_refresh_point[kMaxFastWeights];
};

struct NetworkGradientTask {
  const NetworkTask* call;  ///< with its slots
  Rows reads;               ///< incoming gradients, null data: zero
  const float *end_weights[kMaxFastWeights], *end_momentum[kMaxFastWeights], *end_refresh_point[kMaxFastWeights];
  float *query, *key, *value;  ///< outgoing, contiguous
  float *theta[kMaxFastWeights], *alpha[kMaxFastWeights], *eta[kMaxFastWeights];
  float *weights[kMaxFastWeights], *momentum[kMaxFastWeights], *refresh_point[kMaxFastWeights], *initial[kMaxFastWeights];
};

struct AttentionShape {
  int64_t queries, keys, prefix, width, window;  ///< the last `queries` keys are the queries' own; width: a multiple of kPad
  float scale;

  MNEME_ALWAYS_INLINE int64_t tiles() const { return (queries + kTileTokens - 1) / kTileTokens; }
};

struct AttentionTask {
  Rows query, key, value, prefix_key, prefix_value;
  RowsOut out;
  float* log_sum;  ///< [queries] log Σ exp(score)
};

struct AttentionGradientTask {
  const AttentionTask* call;  ///< with its results
  Rows out_bar;
  RowsOut query, key, value, prefix_key, prefix_value;  ///< outgoing; all but the query's are added to
};

/// Pointers into one tile of n tokens of the recurrence's coefficients (memory/coefficients.h); step may be null.
template <class T>
struct CoefficientTile {
  const T *theta, *alpha, *eta, *step;
  T *K, *d, *m, *p, *L;
  T *Kb, *db, *mb;  ///< rows before each token
};
template <class T>
struct CoefficientTileGradient {
  const T *theta, *alpha, *eta, *step, *d, *m;  ///< inputs and kept outputs
  const T *gK, *gd, *gm, *gp, *gL;              ///< incoming
  const T *gKb, *gdb, *gmb;                     ///< incoming, of the rows before: row t + 1 belongs to token t
  T *gtheta, *galpha, *geta;                    ///< outgoing
};

/// Element-wise and small loops of nn and memory, for T = float and double: engine/loops.h says what each does.
template <class T>
struct Loops {
  void (*swiglu)(const T* x, T* y, int64_t first, int64_t last, int64_t h);
  void (*swiglu_gradient)(const T* x, const T* dy, T* dx, int64_t first, int64_t last, int64_t h);
  void (*short_conv)(const T* x, const T* taps, T* y, int64_t steps, int64_t n, int64_t k, bool silu);
  void (*short_conv_gradient)(const T* x, const T* taps, const T* dy, T* dx, T* dtaps, T* dz, int64_t steps, int64_t n, int64_t k, bool silu);
  void (*rotate)(const T* x, const T* row, T* y, int64_t heads, int64_t x_stride, int64_t y_stride, int64_t d, T sign);
  void (*row_norm)(const T* x, const T* w, T* y, T* r, int64_t first, int64_t last, int64_t n, T scale, T eps);
  void (*row_norm_gradient)(const T* x, const T* w, const T* r, const T* dy, T* dx, T* dw, int64_t first, int64_t last, int64_t n, T scale);
  void (*coefficients)(const CoefficientTile<T>& x, T* P, T* Q, int64_t n);
  void (*coefficients_gradient)(const CoefficientTileGradient<T>& x, T* P, T* Q, T* bP, T* bQ, T* ps, int64_t n);
  void (*invert_unit_lower)(const T* A, T* Y, int64_t n);
};

struct Engine {
  const char* name;
  int64_t (*network_scratch)(const NetworkShape&);  ///< floats
  int64_t (*network_gradient_scratch)(const NetworkShape&);
  int64_t (*network_slot)(const NetworkShape&);
  void (*network)(const NetworkShape&, const NetworkTask&, float* scratch);
  void (*network_gradient)(const NetworkShape&, const NetworkGradientTask&, float* scratch);
  int64_t (*attention_scratch)(const AttentionShape&);
  int64_t (*attention_gradient_scratch)(const AttentionShape&);
  void (*attention)(const AttentionShape&, const AttentionTask&, int64_t tile, float* scratch);
  void (*attention_gradient)(const AttentionShape&, const AttentionGradientTask&, float* scratch);
  void (*product)(int64_t m, int64_t n, int64_t k, float* a, float* b, float* c);  ///< for `mneme bench`: C = A B
  Loops<float> of_float;
  Loops<double> of_double;
};

}  // namespace mneme::kernels
