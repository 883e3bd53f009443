// A memory whose weights are those of a Network: everything between the plug-in interface and the kernels, so that a memory of
// this kind is its initial weights and its options (memory/linear.cpp, memory/neural_mlp.cpp).
//
// State per row and head: weights_l, momentum_l; with stale gradients refresh_point_l and, guarded, load_l; with sweeps the running
// interval as each earlier sweep sees it; with groups the tokens of an unfinished one.
#pragma once

#include <string>
#include <vector>

#include "memory/network_kernels.h"
#include "mneme/memory.h"

namespace mneme::memory {

/// What a memory of this kind is, beside the options of section memory.
struct NetworkSettings {
  Network net;
  std::vector<at::Tensor> matrices;                    ///< [H,·,·] learned initial weights
  Gradient default_gradient = Gradient::exact_last;    ///< what gradient = auto stands for
  bool retain_initial = false;                         ///< forgetting leads back to the initial weights
  bool fast_gain = false;                              ///< of residual+norm: the norm's gain learns at test time too
  bool gate_per_matrix = true;                         ///< each fast weight has gates of its own
  int64_t sweeps = 1;
  bool lower_frozen = false;                           ///< matrices below the last stay as they start
  double lower_step = 0.1;                             ///< of feature: share of θ that the others take at first
};

/// Rules between options that every such memory has: where the gradient of the last matrix is exact, one linear system gives it.
/// `refresh_by_default`: gradient = auto is refresh.
void check_network_rule(const MemoryOptions& options, bool one_matrix, bool refresh_by_default, Problems& problems);

class NetworkMemory : public Memory {
 public:
  MemoryDescription describe(const CallShape& call) const override;
  std::vector<Gate> gates() const override;
  at::Tensor forward(const MemoryInput& input, State& state) override;
  at::Tensor read(const at::Tensor& query, State& state) override;
  void start(State& state, int64_t rows) override;
  State readable(const State& state) const override;
  int64_t period() const override;

 protected:
  NetworkMemory(const MemoryContext& context, NetworkSettings settings);

  /// What keys and queries become before they meet the network.
  virtual at::Tensor features(const at::Tensor& x) const { return x; }

  MemoryOptions options_;

 private:
  int64_t fast_weights() const { return net_.depth + (settings_.fast_gain ? 1 : 0); }
  bool guarded() const;
  NetworkCall rule() const;
  NetworkCall call_of(const MemoryInput& input, int64_t position) const;
  NetworkWeights held(State& state) const;
  void hold(State& state, const NetworkWeights& weights) const;
  void measure(const NetworkWeights& weights, int64_t waiting, int64_t steps, Probe& probe) const;
  at::Tensor damped(const MemoryInput& input) const;
  at::Tensor step_sizes(const MemoryInput& input) const;
  at::Tensor by_weight(const at::Tensor& gates) const;
  at::Tensor of_learning(const at::Tensor& gates) const;

  NetworkSettings settings_;
  Network net_;
  Gradient gradient_;
  std::vector<at::Tensor> initial_;  // [H,·,·]; a fast gain [H,1,D] last
  at::Tensor gain_;                  // [H,1,D] of residual+norm
  at::Tensor lower_step_;            // [H,depth−1] of feature: share of θ that lower matrices take, as logits
};

/// One matrix, with the inner loss that the options name.
Network matrix_of(const MemoryOptions& options);

}  // namespace mneme::memory
