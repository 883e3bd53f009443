// A long-term memory: a small network M whose weights are the state and learn at test time.
//
// Shapes: B rows, T tokens, H heads, D head width, G gate layers (1 for a matrix, one per weight matrix of an MLP).
// The layer around it (src/memory/layer.h) makes queries, keys, values and gates; a memory turns them into reads:
//
//     loss      l(M; k, v) = ‖M(k) − v‖²                       Titans, arXiv 2501.00663, eqs. 8–15
//     momentum  S_t = η_t S_{t−1} − θ_t ∇l(M_{c(t)}; k_t, v_t)
//     memory    M_t = (1 − α_t) M_{t−1} + S_t
//     read      y_t = M_t(q_t)
//
// To add one: a file in memory/ that defines `register_memory_<file name>` (memory/README.md, five steps).
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>

#include "mneme/model_options.h"
#include "mneme/probe.h"
#include "mneme/registry.h"
#include "mneme/state.h"

namespace mneme {

/// What a memory reads per call. Queries and keys come as the layer normalised them (L2 by default).
struct MemoryInput {
  at::Tensor query, key, value;  ///< [B,H,T,D]
  at::Tensor theta;              ///< [B,H,T,G] step size θ ≥ 0; momentum damping included, where a group is one token
  at::Tensor alpha;              ///< [B,H,T,G] forgetting α in [0,1]; those of a group stand at its last token, as does η
  at::Tensor eta;                ///< [B,H,T,G] momentum η in [0,1)
  /// bool [B,T], undefined = all true. A token with false is no step: it reads, and neither decays nor moves anything.
  at::Tensor step = {};
  /// Where to put measurements ("guard_firings"); null = do not measure.
  Probe* probe = nullptr;
  /// Where to put each token's inner loss [B,H,T] at the weights its gradient was taken at; null = do not measure.
  at::Tensor* losses = nullptr;
};

class Memory : public torch::nn::Module {
 public:
  /// Weight matrices with gates of their own: G.
  virtual int64_t gate_layers() const { return 1; }

  /// Reads [B,H,T,D]. `state` holds weights, momentum and what an unfinished refresh interval needs; a fresh state starts
  /// from the learned initial weights. Differentiable with respect to the input, the state and the initial weights.
  virtual at::Tensor forward(const MemoryInput& input, State& state) = 0;

  /// Reads [B,H,T,D] of the weights the state holds; nothing is written. A fresh state (all of a memory that is off) stands
  /// for the initial weights.
  virtual at::Tensor read(const at::Tensor& query, State& state) = 0;

  /// Makes a fresh state of B rows explicit: what `forward` would start from. Resetting a row puts this in its place.
  virtual void start(State& state, int64_t rows) = 0;

  /// The part of a state that `read` needs: what a block keeps to read from frozen weights while the memory goes on.
  virtual State readable(const State& state) const { return state; }

  /// Steps after which a state's clocks mean the same again: refresh points, groups. Rows of different age then run together
  /// where their clocks agree modulo this; 0 = only rows of one age.
  virtual int64_t period() const { return 0; }
};

struct MemoryContext {
  const MemoryOptions& options;
  int64_t heads;
  int64_t head_width;
  at::Generator generator;  ///< for the initial weights
};

struct MemoryPlugin {
  std::string name, summary;
  std::function<std::shared_ptr<Memory>(const MemoryContext&)> make;  ///< null result for `none`
};

using MemoryRegistry = Registry<MemoryPlugin>;

/// Fills it with every memory of memory/ (once; the code is written by cmake/Layers.cmake).
void register_memories();

}  // namespace mneme
