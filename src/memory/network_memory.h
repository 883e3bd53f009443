// A memory whose weights are those of a Network: everything between the plug-in interface and the kernels, so that a memory of
// this kind is its initial weights and its options (memory/linear.cpp, memory/neural_mlp.cpp).
//
// State per row and head: weights_l, momentum_l; with stale gradients refresh_point_l and, guarded, load_l; with sweeps the running
// interval as each earlier sweep sees it; with groups the tokens of an unfinished one.
#pragma once

#include <string>
#include <vector>

#include "memory/mlp.h"
#include "mneme/memory.h"

namespace mneme::memory {

class NetworkMemory : public Memory {
 public:
  int64_t gate_layers() const override { return options_.gate_per_layer ? fast_weights() : 1; }
  at::Tensor forward(const MemoryInput& input, State& state) override;
  at::Tensor read(const at::Tensor& query, State& state) override;
  void start(State& state, int64_t rows) override;
  State readable(const State& state) const override;
  int64_t period() const override;

 protected:
  /// `matrices` [H,·,·]: learned initial weights. `default_gradient` stands for gradient = auto.
  NetworkMemory(const MemoryContext& context, const Network& net, std::vector<at::Tensor> matrices, Gradient default_gradient,
                bool retain_initial);

  /// What keys and queries become before they meet the network.
  virtual at::Tensor features(const at::Tensor& x) const { return x; }

  MemoryOptions options_;

 private:
  int64_t fast_weights() const { return net_.depth + (options_.fast_gain ? 1 : 0); }
  bool guarded() const;
  bool shapes_fit_linear_kernel() const;
  MlpCall call_of(const MemoryInput& input, int64_t position) const;
  at::Tensor run(const MlpCall& call, const MemoryInput& input, MlpWeights& weights) const;
  MlpWeights held(State& state) const;
  void hold(State& state, const MlpWeights& weights, int64_t rows) const;
  void measure(const MlpWeights& weights, int64_t waiting, int64_t steps, Probe& probe) const;
  at::Tensor per_row(const at::Tensor& parameter, int64_t rows) const;
  at::Tensor damped(const MemoryInput& input) const;
  at::Tensor step_size(const MemoryInput& input, int64_t l) const;

  Network net_;
  Gradient gradient_;
  bool retain_initial_;
  std::vector<at::Tensor> initial_;  // [H,·,·]; a fast gain [H,1,D] last
  at::Tensor gain_;                  // [H,1,D] of residual+norm
  at::Tensor lower_step_;            // [H,depth−1] of feature: share of θ that lower matrices take, as logits
};

/// The network that the options describe.
Network network_of(const MemoryOptions& options);

}  // namespace mneme::memory
