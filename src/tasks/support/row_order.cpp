#include "tasks/support/row_order.h"

#include <bit>

#include "base/assert.h"
#include "mneme/random.h"

namespace mneme {

uint64_t row_at(uint64_t place, uint64_t count, uint64_t seed) {
  MNEME_ASSERT(place < count);
  const int half = (std::bit_width(count - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = place >> half, right = place & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (mix_seed(seed, "row order", round << 32 ^ right) & mask);
      left = right;
      right = mixed;
    }
    place = left << half | right;
  } while (place >= count);
  return place;
}

}  // namespace mneme
