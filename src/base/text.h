// Small text helpers that the standard library lacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// Without white space at both ends.
std::string trim(std::string_view text);

/// Parts between `separator`, trimmed. Empty text has no parts; empty parts are kept: "a,,b" → a, "", b.
std::vector<std::string> split(std::string_view text, char separator);

/// The same of a value as configs and command lines write it: what stands in double quotes, at the start of a part or after its `=`, is not cut.
/// Parts keep their quotes.
std::vector<std::string> split_values(std::string_view text, char separator);

/// Place of the quote that closes the one at `place`; npos where none does. `\"` is no end.
size_t end_of_quotes(std::string_view text, size_t place);

/// What a part says: of one in double quotes what stands in them, with \", \\, \n and \r for quote, backslash and line ends; any other as it is.
std::string unquoted(std::string_view part);

/// As it must stand in a file to be read back: in double quotes where white space, quotes or comment signs ask for it.
std::string quoted_value(const std::string& text);
/// The same of an element of a list: also where it holds a comma.
std::string quoted_element(const std::string& text);

/// Place of the first byte that is no UTF-8; npos = it all is.
size_t not_utf8(std::string_view text);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// The candidate that `name` most likely was meant to be; "" when none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// "; did you mean 'x'?" or "".
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

/// How deep lists and objects of a JSON text lie in each other. Parsers hold values for each level: 60 MB of "[" are gigabytes.
size_t json_depth(std::string_view text);

/// With control bytes (ESC would steer a terminal) and bytes that are no UTF-8 as \xNN; line ends stay.
std::string printable(std::string_view text);

/// Shortest text that reads back as the same number: 0.003, 10000, 1e-10.
std::string format_number(double value);

/// A point of a task's table as people write it: {8, 2048} → "8x2048".
std::string setting_text(const std::vector<int64_t>& setting);

}  // namespace mneme
