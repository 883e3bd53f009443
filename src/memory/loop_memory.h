// A memory given by its step: any rule, whatever its state. The loop over steps is all it has: inner gradients are the rule's own closed
// forms, outer gradients come from autograd through the loop (a call keeps every step's tensors, some microseconds an operation).
//
// A step has one token; with memory.group = g, where a rule allows it, the g tokens of a group: T/g steps. Reads then see completed groups,
// token t (from 0) ⌊(t+1)/g⌋ of them (⌊t/g⌋ with read = before), and an unfinished group waits in the state.
//
// A rule is a file in memory/ that derives from it; one on MIRAS' four axes needs no class of its own (rule_memory.h). State per row: the
// tensors that `begin` makes, [B,H,…]; with groups pending_key, pending_value, pending_<gate>, pending_step.
#pragma once

#include <map>
#include <string>

#include "memory/kernel_table.h"
#include "mneme/memory.h"

namespace mneme::memory {

class LoopMemory : public Memory {
 public:
  MemoryDescription describe(const CallShape& call) const override { return {equation(), loop_kernel(options_, call)}; }
  at::Tensor forward(const MemoryInput& input, State& state) override;
  at::Tensor read(const at::Tensor& query, State& state) override;
  void start(State& state, int64_t rows) override;
  State readable(const State& state) const override;
  int64_t period() const override { return options_.group; }

 protected:
  explicit LoopMemory(const MemoryContext& context);

  using Tensors = std::map<std::string, at::Tensor>;
  /// Those of one step: n = 1, or memory.group.
  struct Tokens {
    at::Tensor key, value;  ///< [B,H,n,K], [B,H,n,V]
    Tensors gates;          ///< [B,H,n,·] by name
    at::Tensor step;        ///< bool [B,n]: tokens that are none, among others that are; undefined = all are. A row of none is seen to here
  };
  /// The state of `rows` fresh rows, [rows,H,…] with `options` as type and device. Learned starts are expanded parameters.
  virtual Tensors begin(int64_t rows, const at::TensorOptions& options) const = 0;
  /// state → the state after the step. Returns the tokens' inner loss before it, [B,H,n].
  virtual at::Tensor step(const Tokens& tokens, Tensors& state) const = 0;
  /// The rule in one line, for its description.
  virtual std::string equation() const { return "a step of its own for each token (memory/<kind>.cpp)"; }
  /// What queries [B,H,T,K] read from the state: [B,H,T,V].
  virtual at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const = 0;
  /// Whether `read_of` takes this tensor of the state; a momentum or a window need not be kept for reads alone.
  virtual bool is_read(const std::string& /*name*/) const { return true; }

  MemoryOptions options_;
  int64_t heads_, key_width_, value_width_;

 private:
  at::Tensor at_start_;  // [1] a buffer: its type and device are those of the model
};

/// Options that mean nothing to a rule of this kind, where they were set: problems that say so.
void check_loop_rule(const MemoryOptions& options, Problems& problems);

}  // namespace mneme::memory
