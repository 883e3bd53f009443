// The engine for any processor: vectors of four floats.
#include "memory/kernels/fused/engine_table.h"

namespace mneme::memory::fused {
const Engine* generic_engine() {
  static const Engine engine = engine_table<4>("generic");
  return &engine;
}
}  // namespace mneme::memory::fused
