// A point of a task's table as people write it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mneme {

/// {8, 2048} → "8x2048".
inline std::string setting_text(const std::vector<int64_t>& setting) {
  std::string text;
  for (const int64_t value : setting) {
    if (!text.empty()) text += 'x';
    text += std::to_string(value);
  }
  return text;
}

}  // namespace mneme
