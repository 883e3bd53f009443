// A memory given by its step for one token: any rule, whatever its state. The token loop is all it has: inner gradients are the rule's own
// closed forms, outer gradients come from autograd through the loop (a call keeps every step's tensors, some microseconds an operation).
//
// A rule is a file in memory/ that derives from it. State per row: the tensors that `begin` makes, [B,H,…].
#pragma once

#include <map>
#include <string>

#include "mneme/memory.h"

namespace mneme::memory {

class LoopMemory : public Memory {
 public:
  at::Tensor forward(const MemoryInput& input, State& state) override;
  at::Tensor read(const at::Tensor& query, State& state) override;
  void start(State& state, int64_t rows) override;
  int64_t period() const override { return 1; }

 protected:
  explicit LoopMemory(const MemoryContext& context);

  using Tensors = std::map<std::string, at::Tensor>;
  struct Token {
    at::Tensor key, value;  ///< [B,H,K], [B,H,V]
    Tensors gates;          ///< [B,H,n] by name
  };
  /// The state of `rows` fresh rows, [rows,H,…] with `options` as type and device. Learned starts are expanded parameters.
  virtual Tensors begin(int64_t rows, const at::TensorOptions& options) const = 0;
  /// state → the state after the token's step. Returns its inner loss before the step, [B,H].
  virtual at::Tensor step(const Token& token, Tensors& state) const = 0;
  /// What queries [B,H,T,K] read from the state: [B,H,T,V].
  virtual at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const = 0;

  MemoryOptions options_;
  int64_t heads_, key_width_, value_width_;

 private:
  at::Tensor at_start_;  // [1] a buffer: its type and device are those of the model
};

/// Options that mean nothing to a rule of this kind, where they were set: problems that say so.
void check_loop_rule(const MemoryOptions& options, Problems& problems);

}  // namespace mneme::memory
