// Vocabulary of the key-value tasks: 0 is filler, keys are the rest of the lower half, values the upper half.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mneme/random.h"

namespace mneme {

struct PairVocabulary {
  int64_t size;

  int64_t first_value() const { return size / 2; }
  int64_t keys() const { return size / 2 - 1; }
  int64_t values() const { return size - size / 2; }

  std::vector<int64_t> distinct_keys(Random& random, int64_t count) const {
    return shifted(random.distinct(count, keys()), 1);
  }
  std::vector<int64_t> distinct_values(Random& random, int64_t count) const {
    return shifted(random.distinct(count, values()), first_value());
  }
  int64_t value(Random& random) const { return random.between(first_value(), size - 1); }

  /// "k12 " for a key, "v3 " for a value, "· " for filler.
  std::string text(int64_t token) const {
    if (token == 0) return "· ";
    if (token < first_value()) return fmt::format("k{} ", token);
    return fmt::format("v{} ", token - first_value());
  }

 private:
  static std::vector<int64_t> shifted(std::vector<int64_t> numbers, int64_t by) {
    for (int64_t& number : numbers) number += by;
    return numbers;
  }
};

}  // namespace mneme
