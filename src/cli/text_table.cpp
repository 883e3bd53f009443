#include "cli/text_table.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/text.h"

namespace mneme {
namespace {

bool is_numeric(const std::string& text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-' || text[0] == '+');
}

/// Code points, not bytes: "±" and "×" take one column.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& given) {
  std::vector<std::vector<std::string>> rows = given;
  for (std::vector<std::string>& row : rows)
    for (std::string& cell : row) cell = printable(cell);
  std::vector<size_t> width;
  std::vector<bool> numeric;  // every cell below the heading is a number
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t c = 0; c < rows[r].size(); ++c) {
      if (c == width.size()) width.push_back(0), numeric.push_back(rows.size() > 1);
      width[c] = std::max(width[c], display_width(rows[r][c]));
      if (r > 0 && !rows[r][c].empty() && !is_numeric(rows[r][c])) numeric[c] = false;
    }
  std::string result;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(width[c] - display_width(row[c]), ' ');
      if (c) line += "  ";
      line += numeric[c] ? padding + row[c] : row[c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

std::string with_separators(int64_t value) {
  const std::string digits = std::to_string(value);
  const size_t sign = value < 0 ? 1 : 0;
  std::string result;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) result += ',';
    result += digits[i];
  }
  return result;
}

std::string wrap(const std::string& text, size_t width, size_t indent) {
  std::istringstream words(text);
  std::string result, line, word;
  while (words >> word) {
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      result += line + "\n";
      line = std::string(indent, ' ');
      line += word;
    } else {
      line += (line.empty() ? "" : " ") + word;
    }
  }
  return result + line;
}

}  // namespace mneme
