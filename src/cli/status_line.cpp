#include "cli/status_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace mneme {
namespace {

constexpr std::chrono::seconds kPlainInterval{30};

// Written by the C library, which ignores that a terminal is gone: then work ends by SIGHUP, with its checkpoint.

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
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
  std::fflush(stderr);
}

void StatusLine::keep(const std::string& line) {
  if (quiet_) return;
  clear();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void StatusLine::show(const std::string& line) {
  if (quiet_) return;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", cut(line, terminal_width() - 1).c_str());
    std::fflush(stderr);
    shown_ = true;
  } else if (std::chrono::steady_clock::now() - last_plain_ >= kPlainInterval) {
    last_plain_ = std::chrono::steady_clock::now();
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

}  // namespace mneme
