// Integer weights ∝ (i+1)^exponent of the places i = 0 … count−1, made by basic arithmetic only, so that what is drawn by them is the
// same on every platform: `std::pow` may differ in its last bit.
#pragma once

#include <cstdint>
#include <vector>

#include "mneme/random.h"

namespace mneme {

/// exponent ≤ 0. The first weight is 2^40 + 1, the smallest 1; the sum of 2^22 of them stays below 2^63.
std::vector<uint64_t> power_weights(int64_t count, double exponent);

/// Draws places with replacement. O(count) to make, O(log count) a draw.
class PowerDraw {
 public:
  PowerDraw(int64_t count, double exponent);
  size_t draw(Random& random) const;

 private:
  std::vector<uint64_t> sums_;  // of the weights up to and with each place
};

}  // namespace mneme
