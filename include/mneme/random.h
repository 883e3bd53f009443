// Portable random numbers: the same (seed, stream, index) gives the same numbers on every platform and compiler, which
// the standard library's distributions do not. Generator: xoshiro256** (Blackman, Vigna 2018), seeded by SplitMix64.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mneme {

class Random {
 public:
  /// Streams with different names, and indices within a stream, are independent of each other.
  explicit Random(uint64_t seed, std::string_view stream = "", uint64_t index = 0);

  uint64_t next();
  /// Uniform in [0, bound), unbiased (Lemire 2019). bound ≥ 1.
  uint64_t below(uint64_t bound);
  /// Uniform in [first, last], both included.
  int64_t between(int64_t first, int64_t last);
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Normal, mean 0, variance 1, exactly: von Neumann's way, by comparisons of uniforms alone (Karney, ACM TOMS 42, 2016, algorithm N).
  /// No logarithm or cosine, which may differ in their last bit between platforms. About 17 uniforms a draw.
  double normal();
  /// `count` different numbers of [0, bound), in random order.
  std::vector<int64_t> distinct(int64_t count, int64_t bound);

  template <class T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  bool half_exponential();
  bool accept_fraction(int64_t k, double x);

  uint64_t state_[4];
};

/// 64-bit mix of a seed with a name (FNV-1a, then SplitMix64): seeds for other generators.
uint64_t mix_seed(uint64_t seed, std::string_view stream, uint64_t index = 0);

}  // namespace mneme
