// A model in evaluation mode (Module::eval) as long as this lives: memory.frozen then writes nothing.
#pragma once

#include <torch/nn/module.h>

namespace mneme {

class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) : module_(module), was_training_(module.is_training()) { module.eval(); }
  ~EvaluationMode() { module_.train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& module_;
  const bool was_training_;
};

}  // namespace mneme
