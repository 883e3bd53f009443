// Which layers have a memory: model.memory_layers, every layer where it is empty.
#pragma once

#include <algorithm>

#include "mneme/model.h"

namespace mneme {

inline bool has_memory(const BlockContext& context) {
  const auto& layers = context.model.memory_layers;
  return layers.empty() || std::find(layers.begin(), layers.end(), context.layer) != layers.end();
}

}  // namespace mneme
