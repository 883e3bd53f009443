// The engine for any processor: vectors of four floats.
#include "kernels/engine_table.h"

namespace mneme::kernels {
const Engine* generic_engine() {
  static const Engine engine = engine_table<4>("generic");
  return &engine;
}
}  // namespace mneme::kernels
