// What the property tests run over: all that is registered (test_models, test_tasks), or the kinds of a plug-in (mneme_conformance).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mneme::test {

struct Subjects {
  /// Of a plug-in: the kinds below, each in every setting that its rules allow. Otherwise: all that is registered, settings spread over kinds.
  bool chosen = false;
  std::vector<std::string> memories, blocks, tasks;
  std::vector<std::pair<std::string, std::string>> settings;  ///< "memory.my_rule.order" → "3": where the settings start from
};

inline Subjects& subjects() {
  static Subjects all;
  return all;
}

/// For tests that take one of `every` variants where there are many.
inline bool in_turn(size_t number, size_t every) { return subjects().chosen || number % every == 0; }

}  // namespace mneme::test
