// A long-term memory: a small network M whose weights are the state and learn at test time.
//
// Shapes: B rows, T tokens, H heads, K key width, V value width. The layer around it (src/memory/layer.h) makes queries, keys, values and
// the gates that the memory asks for; a memory turns them into reads. Titans' rule, that of memory/linear.cpp and memory/neural_mlp.cpp:
//
//     loss      l(M; k, v) = ‖M(k) − v‖²                       Titans, arXiv 2501.00663, eqs. 8–15
//     momentum  S_t = η_t S_{t−1} − θ_t ∇l(M_{c(t)}; k_t, v_t)
//     memory    M_t = (1 − α_t) M_{t−1} + S_t
//     read      y_t = M_t(q_t)
//
// To add one: a file in memory/ that defines `register_memory_<file name>` (memory/README.md, four steps).
#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mneme/model_options.h"
#include "mneme/module.h"
#include "mneme/probe.h"
#include "mneme/registry.h"
#include "mneme/state.h"

namespace mneme {

/// A gate that a memory asks for: numbers in [B,H,T,n] that the layer makes of the tokens, for MemoryInput::gate(name).
///
///   z = gate_scale · [x_t, x_{t−1}] W + bias        without `previous`: x_t alone; with a rank: W = W_down W_up
///   sigmoid scale · σ(z)  ·  log_decay −scale · A · softplus(z), A > 0 learned per head: the logarithm of a decay in (0, 1]
///   tanh scale · tanh(z)  ·  identity scale · z
struct Gate {
  enum class Per { head, key_channel, value_channel };
  enum class Activation { sigmoid, log_decay, tanh, identity };
  std::string name, help;           ///< "theta", "step size"
  Per per = Per::head;
  int64_t copies = 1;               ///< n of a gate per head: weight matrices with gates of their own, say
  Activation activation = Activation::sigmoid;
  double bias = 0, scale = 1;
  int64_t rank = 0;                 ///< 0 = full
  bool previous = true;
  bool pooled = false;              ///< with memory.group > 1: one for the group, made of its tokens, at its last token
  bool writes = false;              ///< how much is written: what memory.write_penalty holds down (sigmoid)
};

/// What a memory reads per call. Queries and keys come as the layer normalised them (L2 by default).
struct MemoryInput {
  at::Tensor query, key;                      ///< [B,H,T,K]
  at::Tensor value;                           ///< [B,H,T,V]
  std::map<std::string, at::Tensor> gates = {};  ///< [B,H,T,n]
  /// bool [B,T], undefined = all true. A token with false is no step: it reads, and neither decays nor moves anything.
  at::Tensor step = {};
  /// Where to put measurements ("guard_firings"); null = do not measure.
  Probe* probe = nullptr;
  /// Where to put each token's inner loss [B,H,T] at the weights its gradient was taken at (of linear recurrences ‖Sᵀk − v‖² before the
  /// decay); null = do not measure. Values: a gradient may or may not flow back through them.
  at::Tensor* losses = nullptr;

  /// UsageError where the memory did not ask for a gate of that name.
  const at::Tensor& gate(const std::string& name) const {
    const auto found = gates.find(name);
    if (found == gates.end()) throw UsageError("this memory reads a gate '" + name + "' that Memory::gates() does not ask for");
    return found->second;
  }
};

/// A call as far as the choice of a kernel depends on it.
struct CallShape {
  int64_t tokens = 1;                    ///< T
  at::ScalarType dtype = at::kFloat;
  bool cpu = true;                       ///< its tensors lie there
  bool masked = false;                   ///< MemoryInput::step is given
  bool measured = false;                 ///< MemoryInput::losses or probe is asked for
};

/// A way to compute a memory's calls; all of its ways give the same results.
struct KernelFit {
  std::string name, summary;  ///< "fused", "hand-written CPU kernel, fp32"
  std::string option;         ///< the memory.kernel that asks for it
  std::string why_not;        ///< why it does not take the call; empty: it does
};

/// What a memory says of itself.
struct MemoryDescription {
  std::string rule;                     ///< one line, in words or as an equation
  std::vector<KernelFit> kernels = {};  ///< in the order they are asked: the first that takes the call runs
};

class Memory : public Module {
 public:
  /// Its rule, and how it would compute such a call: what `mneme show memory` prints, and what decides whether memory.kernel asks for
  /// something that can never run. A memory without it has one way, which nobody chooses.
  virtual MemoryDescription describe(const CallShape& /*call*/) const { return {}; }

  /// The gates it needs, in the order of their parameters.
  virtual std::vector<Gate> gates() const { return {}; }

  /// Reads [B,H,T,V]. `state` holds weights, momentum and what an unfinished refresh interval needs; a fresh state starts
  /// from the learned initial weights. Differentiable with respect to the input, the state and the initial weights.
  virtual at::Tensor forward(const MemoryInput& input, State& state) = 0;

  /// Reads [B,H,T,V] of the weights the state holds; nothing is written. A fresh state (all of a memory that is off) stands
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
  int64_t head_width;   ///< of keys and queries
  int64_t value_width;  ///< head_width × memory.expand_v
  at::Generator generator;  ///< for the initial weights
};

struct MemoryPlugin {
  std::string name, summary;
  std::function<std::shared_ptr<Memory>(const MemoryContext&)> make;
  std::function<std::shared_ptr<Options>()> options = {};  ///< section memory.<name>; empty = it has none
  /// Rules between its own options (`options.own`) and those of section memory; keys by full name.
  std::function<void(const MemoryOptions& options, Problems& problems)> check = {};
  std::vector<std::string> at_test_time = {};  ///< own options that change no parameter: an evaluation may set them
};

using MemoryRegistry = Registry<MemoryPlugin>;

/// Fills it with every memory of memory/ (once; the code is written by cmake/Layers.cmake).
void register_memories();

}  // namespace mneme
