// Reads INI text into Settings. By hand rather than by Boost.Program_options' parser, which gives no line numbers, cuts
// values at every '#' and knows neither `extends` nor lists.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "config/settings.h"

namespace mneme {

class SettingsReader {
 public:
  /// `asked_by`: where the file is named, for the message when it is missing ("" = the command line).
  Settings file(const std::filesystem::path& path, const std::string& asked_by);
  Settings text(const std::string& text, const std::string& origin, const std::filesystem::path& folder);
  /// Throws ConfigError with everything found wrong so far.
  void throw_problems() const;

 private:
  struct Line {
    std::string origin, section;
    std::filesystem::path folder;
  };
  void section_line(const std::string& line, Line& at, Settings& own);
  void key_line(const std::string& line, const Line& at, Settings& own, Settings& inherited);
  void extend(const std::string& names, const Line& at, Settings& inherited);
  std::string value_of(const std::string& raw, const std::string& origin);
  void problem(const std::string& origin, const std::string& message);

  std::vector<std::filesystem::path> open_;  // the chain of `extends` that led here
  std::set<std::filesystem::path> done_;
  std::vector<std::string> problems_;
};

/// The text of a value as given, without white space around it; throws ConfigError without origin when its first quote is not closed.
std::string checked_value(const std::string& raw);

}  // namespace mneme
