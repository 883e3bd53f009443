#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace mneme {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'; }

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

std::string in_quotes(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\n' || c == '\r') quoted += '\\';
    quoted += c == '\n' ? 'n' : c == '\r' ? 'r' : c;
  }
  return quoted + "\"";
}

}  // namespace

std::string trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find(separator, begin);
    parts.push_back(trim(text.substr(begin, end - begin)));
    if (end == std::string_view::npos) return parts;
    begin = end + 1;
  }
}

size_t end_of_quotes(std::string_view text, size_t place) {
  for (size_t i = place + 1; i < text.size(); ++i) {
    if (text[i] == '"') return i;
    i += text[i] == '\\';
  }
  return std::string_view::npos;
}

std::vector<std::string> split_values(std::string_view text, char separator) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  size_t begin = 0;
  bool start = true;  // of a part, or of what follows its '='
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = start && text[i] == '"' ? end_of_quotes(text, i) : std::string_view::npos;
    if (end != std::string_view::npos) i = end;
    else if (text[i] == separator) parts.push_back(trim(text.substr(begin, i - begin))), begin = i + 1;
    start = end == std::string_view::npos && (text[i] == separator || text[i] == '=' || (start && is_space(text[i])));
  }
  parts.push_back(trim(text.substr(begin)));
  return parts;
}

std::string unquoted(std::string_view part) {
  const std::string text = trim(part);
  if (text.empty() || text.front() != '"' || end_of_quotes(text, 0) != text.size() - 1) return text;
  std::string value;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    const bool escape = text[i] == '\\' && i + 2 < text.size();
    if (escape) ++i;
    value += escape && text[i] == 'n' ? '\n' : escape && text[i] == 'r' ? '\r' : text[i];
  }
  return value;
}

std::string quoted_value(const std::string& text) {
  const bool plain = trim(text) == text && (text.empty() || text.front() != '"') && text.find_first_of("#;\n\r") == std::string::npos;
  return plain ? text : in_quotes(text);
}

std::string quoted_element(const std::string& text) { return text.find_first_of(",|") == std::string::npos ? quoted_value(text) : in_quotes(text); }

namespace {

/// Bytes of the UTF-8 letter that begins the text; 0 = it begins with none.
size_t letter_size(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  const auto within = [&](unsigned low, unsigned high) { return first >= low && first < high; };
  const size_t size = first < 0x80 ? 1 : within(0xC2, 0xE0) ? 2 : within(0xE0, 0xF0) ? 3 : within(0xF0, 0xF5) ? 4 : 0;
  for (size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F, beyond = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : size;
}

}  // namespace

size_t not_utf8(std::string_view text) {
  for (size_t i = 0, size = 0; i < text.size(); i += size)
    if (size = letter_size(text.substr(i)); size == 0) return i;
  return std::string_view::npos;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 200;  // nobody's slip, and every comparison takes time by its length
  if (name.size() > kLongest) return "";
  const size_t tolerance = std::max<size_t>(1, name.size() / 3);
  const std::string* best = nullptr;
  size_t best_distance = tolerance + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = &candidate;
      best_distance = distance;
    }
  }
  return best ? *best : "";
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates) {
  const std::string name_meant = nearest(name, candidates);
  return name_meant.empty() ? "" : "; did you mean '" + name_meant + "'?";
}

size_t json_depth(std::string_view text) {
  size_t depth = 0, deepest = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') quoted = !quoted;
    else if (quoted && c == '\\') ++i;
    else if (!quoted && (c == '[' || c == '{')) deepest = std::max(deepest, ++depth);
    else if (!quoted && (c == ']' || c == '}') && depth > 0) --depth;
  }
  return deepest;
}

namespace {

/// C0 but for line ends and tabs, DEL, and C1 (U+0080 to U+009F).
bool controls(std::string_view letter) {
  const auto first = static_cast<unsigned char>(letter[0]);
  if (letter.size() == 1) return (first < ' ' && first != '\n' && first != '\t') || first == 0x7F;
  return letter.size() == 2 && first == 0xC2 && static_cast<unsigned char>(letter[1]) < 0xA0;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string shown;
  while (!text.empty()) {
    const size_t size = letter_size(text);
    if (size > 0 && !controls(text.substr(0, size))) {
      shown += text.substr(0, size);
      text.remove_prefix(size);
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[0]);
    shown += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    text.remove_prefix(1);
  }
  return shown;
}

std::string format_number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

std::string setting_text(const std::vector<int64_t>& setting) {
  std::string text;
  for (const int64_t value : setting) {
    if (!text.empty()) text += 'x';
    text += std::to_string(value);
  }
  return text;
}

}  // namespace mneme
