// A memory whose state is one matrix S [K,V] per head that every step changes linearly (linear_recurrence.h):
//
//   S_t = diag(a_t) S_{t−1} − d_t (e_tᵀ S_{t−1}) + k_t u_tᵀ        y_t = S_tᵀ q_t
//
// A rule of this family is a file in memory/ that derives from it: its gates, and what a_t, e_t, d_t, k_t, u_t are made of. Splits,
// padding, reads before the write, the token loop and the tiles, surprise and measurements are here. Surprise takes a second pass over the
// tokens; it is a value, through which no gradient flows. State per row: weights [H,K,V], from zero, and what the rule keeps beside it.
#pragma once

#include "memory/linear_recurrence.h"
#include "mneme/memory.h"

namespace mneme::memory {

class RecurrentMemory : public Memory {
 public:
  MemoryDescription describe(const CallShape& call) const override;
  at::Tensor forward(const MemoryInput& input, State& state) override;
  at::Tensor read(const at::Tensor& query, State& state) override;
  void start(State& state, int64_t rows) override;
  State readable(const State& state) const override;
  int64_t period() const override { return 1; }

 protected:
  explicit RecurrentMemory(const MemoryContext& context);

  /// One step's terms for a call, [B,H,T,·]; undefined ones as in LinearRecurrence.
  struct Terms {
    at::Tensor query, write_key, write_value;
    at::Tensor log_decay = {};  ///< [B,H,T,1 or K]
    at::Tensor erase = {}, along = {};
  };
  /// `state`: what the rule keeps beside the matrix, tensors [B,…] by names of its own, moved on by this call. Tokens where input.step is
  /// false are no steps of the matrix whatever the terms say; a rule with a state of its own leaves that where it was, too.
  virtual Terms terms(const MemoryInput& input, State& state) const = 0;
  /// The rule in one line, for its description; that of the family where nothing else is said.
  virtual std::string equation() const { return "S = diag(a) S − d (eᵀ S) + k uᵀ;  y = Sᵀ q"; }
  /// What the rule keeps beside the matrix, at the start of a sequence.
  virtual void start_own(State& /*state*/, int64_t /*rows*/) const {}

  MemoryOptions options_;
  int64_t heads_, key_width_, value_width_;

 private:
  LinearRecurrence call_of(const Terms& terms, const at::Tensor& step) const;
  at::Tensor at_start_;  // [1] a buffer: its type and device are those of the model
};

/// The recurrence by the kernel that memory.kernel asks for, and those that there are.
at::Tensor linear_recurrence(const LinearRecurrence& call, at::Tensor& state, const std::string& kernel);
std::vector<KernelFit> recurrence_kernels(const std::string& kernel, const CallShape& call);

/// Options that were set and that nothing reads (unread_options.h): problems that say so.
void check_recurrent_rule(const MemoryOptions& options, Problems& problems);

}  // namespace mneme::memory
