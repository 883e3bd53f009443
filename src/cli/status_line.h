// Progress of several things at once on stderr: one rewritten line on a terminal, now and then a plain line elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace mneme {

class StatusLine {
 public:
  explicit StatusLine(bool quiet);
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;

  /// A line that stays.
  void keep(const std::string& line);
  /// Replaces the status; cut to the terminal's width.
  void show(const std::string& line);

 private:
  void clear();

  bool quiet_, terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_plain_;
};

}  // namespace mneme
