#include "cli/status_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace mneme {
namespace {

constexpr std::chrono::seconds kPlainInterval{30};

size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// At most `width` columns, not cutting a UTF-8 character.
std::string cut(const std::string& text, size_t width) {
  size_t columns = 0;
  for (size_t i = 0; i < text.size(); ++i)
    if ((text[i] & 0xC0) != 0x80 && ++columns > width) return text.substr(0, i);
  return text;
}

}  // namespace

StatusLine::StatusLine(bool quiet)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1), last_plain_(std::chrono::steady_clock::now()) {}

StatusLine::~StatusLine() { clear(); }

void StatusLine::clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
  std::fflush(stderr);
}

void StatusLine::keep(const std::string& line) {
  if (quiet_) return;
  clear();
  fmt::print(stderr, "{}\n", line);
}

void StatusLine::show(const std::string& line) {
  if (quiet_) return;
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}", cut(line, terminal_width() - 1));
    std::fflush(stderr);
    shown_ = true;
  } else if (std::chrono::steady_clock::now() - last_plain_ >= kPlainInterval) {
    last_plain_ = std::chrono::steady_clock::now();
    fmt::print(stderr, "{}\n", line);
  }
}

}  // namespace mneme
