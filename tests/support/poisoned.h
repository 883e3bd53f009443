// Scratch of the fused kernels full of NaN, so that reading what was not written shows.
#pragma once

#include "memory/kernels/fused/task.h"

namespace mneme::test {

/// For the time of a test; the engine of before again afterwards.
struct Poisoned {
  const char* engine = memory::fused::engine().name;
  Poisoned() { memory::fused::poison_scratch(true); }
  ~Poisoned() {
    memory::fused::poison_scratch(false);
    memory::fused::use_engine(engine);
  }
};

}  // namespace mneme::test
