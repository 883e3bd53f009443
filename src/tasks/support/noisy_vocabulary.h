// Vocabulary of the key-value tasks with noise: that of pairs, whose token 0 is the task's mark, and behind it tokens that mean nothing.
#pragma once

#include <cstdint>
#include <string>

#include "tasks/support/pair_vocabulary.h"

namespace mneme {

struct NoisyVocabulary {
  PairVocabulary pairs;
  int64_t noise;           ///< how many tokens that mean nothing
  const char* mark = "| "; ///< how token 0 is read

  int64_t size() const { return pairs.size + noise; }
  int64_t noise_token(Random& random) const { return random.between(pairs.size, size() - 1); }
  /// Any value but `current` (−1: any at all): a write always changes something.
  int64_t other_value(Random& random, int64_t current) const {
    int64_t value = pairs.value(random);
    while (value == current) value = pairs.value(random);
    return value;
  }
  /// "k12 " for a key, "v3 " for a value, "~5 " for noise.
  std::string text(int64_t token) const {
    if (token == 0) return mark;
    return token < pairs.size ? pairs.text(token) : fmt::format("~{} ", token - pairs.size);
  }
};

}  // namespace mneme
