// Aligned columns for people.
#pragma once

#include <string>
#include <vector>

namespace mneme {

/// Columns two spaces apart. Columns of numbers are aligned to the right; the last column is left as it is.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

/// 1234567 → "1,234,567".
std::string with_separators(int64_t value);

/// Wraps at `width` columns; lines after the first begin with `indent` spaces.
std::string wrap(const std::string& text, size_t width, size_t indent);

}  // namespace mneme
