// What a model carries from one call to the next: per layer the attention window, the convolution tail, the memory.
//
// A state is a tree of named tensors whose first dimension is the batch row B, plus the number of tokens read. A fresh
// State is the start of a sequence; modules fill it on their first call and replace it on each. Any split of a sequence
// into calls gives the same outputs and the same final state as one call. State **is per row**: rows never mix.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mneme {

class State {
 public:
  /// Tokens read so far, the same for all rows; kept by the module that owns this node.
  int64_t position = 0;

  /// The tensor of that name; undefined until a module sets it.
  at::Tensor& tensor(const std::string& name) { return tensors_[name]; }
  bool has(const std::string& name) const { return tensors_.count(name) && tensors_.at(name).defined(); }
  /// The part of the state that belongs to a submodule.
  State& child(const std::string& name) { return children_[name]; }

  /// Cuts the autograd graph: truncated backpropagation continues from here.
  void detach();
  /// An independent copy.
  State clone() const;
  /// Rows of the batch, in the given order; index int64 [n].
  State rows(const at::Tensor& index) const;
  /// Size of one row in bytes as fp32, whatever the dtype: the "state bytes" of the tables. Buffers held beyond what the
  /// recurrence needs (names that start with '_') do not count.
  int64_t bytes_per_row() const;

  /// All tensors as "child/child/name", sorted; with `unflatten` the way to and from a file. Positions travel as int64
  /// scalars named "position".
  std::vector<std::pair<std::string, at::Tensor>> flatten() const;
  static State unflatten(const std::vector<std::pair<std::string, at::Tensor>>& tensors);

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, State> children_;
};

}  // namespace mneme
