// Scratch of the fused kernels full of NaN, so that reading what was not written shows.
#pragma once

#include "kernels/task.h"

namespace mneme::test {

/// For the time of a test; the engine of before again afterwards.
struct Poisoned {
  const char* engine = kernels::engine().name;
  Poisoned() { kernels::poison_scratch(true); }
  ~Poisoned() {
    kernels::poison_scratch(false);
    kernels::use_engine(engine);
  }
};

}  // namespace mneme::test
