// What the parts of a rule have in common: a rule (rule_memory.h) is a network, an inner loss, a retention and an optimizer (MIRAS, Behrouz
// et al., arXiv 2504.13173). Each part is one file below src/memory/rule/, found by CMake, with options and gates of its own.
//
// Shapes: B rows, H heads, n tokens, K key width, V value width; a fast matrix is [B,H,in,out].
#pragma once

#include <ATen/core/Generator.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mneme/memory.h"

namespace mneme::rule {

using Tensors = std::map<std::string, at::Tensor>;
using Matrices = std::vector<at::Tensor>;

/// What a part is made of.
struct Context {
  const MemoryOptions& memory;          ///< section memory
  const std::shared_ptr<Options>& own;  ///< the part's own options
  int64_t heads, key_width, value_width;
  at::Generator generator;
  /// A slow parameter of the memory, under a name of the part's own.
  std::function<at::Tensor(const std::string& name, const at::Tensor& initial)> parameter;
};

template <class Part>
struct Plugin {
  std::string name, summary;
  std::function<std::shared_ptr<Part>(const Context&)> make;
  std::function<std::shared_ptr<Options>()> options = {};  ///< empty = it has none
  std::vector<std::string> reads = {};  ///< options of section memory that shape its steps, and not its gates or state
  /// What does not go with section memory: problems that say so.
  std::function<void(const MemoryOptions&, Problems&)> check = {};
};

}  // namespace mneme::rule
