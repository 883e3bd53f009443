// AdamW (Loshchilov, Hutter 2019, arXiv 1711.05101) with global-norm clipping folded into the update.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "config/config.h"
#include "eval/safetensors.h"

namespace mneme {

class AdamW {
 public:
  /// `decays(name)`: whether weight decay applies. The learning rate is given per step.
  AdamW(NamedTensors parameters, const std::function<bool(const std::string&)>& decays, const TrainOptions& train);

  /// Drops the gradients (memory is returned, not zeroed).
  void zero_grad();

  /// One update from the parameters' gradients; a parameter without one is left alone. Returns the norm of all gradients
  /// together, before clipping. DivergedError where it is not finite, naming the first such parameter; nothing has moved.
  double step(double lr);

  /// Steps done and both moments; the same tensors, not copies.
  NamedTensors state() const;
  int64_t steps() const { return steps_; }
  /// CheckpointError where names, shapes or types differ.
  void load(const TensorFile& file, const std::string& source);

 private:
  struct Group {
    double weight_decay = 0;
    std::vector<at::Tensor> parameters, mean, square;
  };
  double gradient_norm() const;
  void update(Group& group, double lr, const at::Tensor& clip);

  NamedTensors parameters_, mean_, square_;
  Group decayed_, plain_;
  double beta1_, beta2_, clip_;
  int64_t steps_ = 0;
};

}  // namespace mneme
