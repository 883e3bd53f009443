// What a model carries from one call to the next: per layer the attention window, the convolution tail, the memory.
//
// A state is a tree of named tensors whose first dimension is the batch row B, plus the number of tokens read. A fresh
// State is the start of a sequence; modules fill it on their first call and replace it on each. Any split of a sequence
// into calls gives the same outputs and the same final state as one call. State **is per row**: rows never mix.
//
// Rows may be of different age: a document that starts inside a row sets that row's clock back to 0. Then the node holds a
// `clock` per row, and tensors whose size depends on the clock are ragged: rows that hold less are filled up with zeros,
// `name#` says how much of them is real. `rows` takes rows out as they would be alone.
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
  /// Tokens read so far; kept by the module that owns this node. Of rows of different age, the largest.
  int64_t position = 0;

  /// The tensor of that name; undefined until a module sets it.
  at::Tensor& tensor(const std::string& name) { return tensors_[name]; }
  bool has(const std::string& name) const { return tensors_.count(name) && tensors_.at(name).defined(); }
  /// The part of the state that belongs to a submodule.
  State& child(const std::string& name) { return children_[name]; }
  bool has_child(const std::string& name) const { return children_.count(name) > 0; }
  /// No tensor here or below: the start of a sequence.
  bool empty() const;

  /// Cuts the autograd graph: truncated backpropagation continues from here.
  void detach();
  /// An independent copy.
  State clone() const;
  /// Rows of the batch, in the given order; index int64 [n].
  State rows(const at::Tensor& index) const;
  /// The rows of all parts, one part after the other; `counts`: rows of each (an empty part has rows too).
  static State join(const std::vector<State>& parts, const std::vector<int64_t>& counts);
  /// Size of one row in bytes as fp32, whatever the dtype: the "state bytes" of the tables. Buffers held beyond what the
  /// recurrence needs (names that start with '_') and clocks do not count.
  int64_t bytes_per_row() const;

  /// Tokens that each row has read: int64 [rows], on the CPU whatever the device of the other tensors.
  at::Tensor clock(int64_t rows) const;
  void set_clock(const at::Tensor& clock);
  void advance(int64_t tokens);
  /// The clocks of every node here and below whose rows differ, int64 [nodes,B]; undefined where all rows are of one age.
  at::Tensor differing_clocks() const;
  /// The same state with all rows at the clock of the first one and nothing ragged: for rows whose clocks agree in all that
  /// matters.
  State aligned() const;
  /// Undoes `aligned`: rows keep the distances they had in `before`.
  void unalign(const State& before);

  /// All tensors as "child/child/name", sorted; with `unflatten` the way to and from a file. Positions travel as int64
  /// scalars named "position".
  std::vector<std::pair<std::string, at::Tensor>> flatten() const;
  static State unflatten(const std::vector<std::pair<std::string, at::Tensor>>& tensors);

 private:
  void select(State& into, const std::string& name, const at::Tensor& index) const;
  static void join_tensor(State& into, const std::string& name, const std::vector<State>& parts, const std::vector<int64_t>& counts);

  std::map<std::string, at::Tensor> tensors_;
  std::map<std::string, State> children_;
};

}  // namespace mneme
