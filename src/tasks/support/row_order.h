// A random order of the rows of a finite task that is known at every place without making the whole order.
#pragma once

#include <cstdint>

namespace mneme {

/// Which of 0 … count−1 stands at `place` (< count) of the order of `seed`: a bijection, by a four-round Feistel
/// network over the next power of four, walked until it falls below `count` (Black & Rogaway 2002). Four steps a call
/// at most, on average.
uint64_t row_at(uint64_t place, uint64_t count, uint64_t seed);

}  // namespace mneme
