#include "base/log.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>

namespace mneme {

namespace {

constexpr double kTerminalEvery_s = 0.1, kPlainEvery_s = 5;

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string rate_text(double per_s) {
  if (per_s >= 9999.5) return fmt::format("{:.0f}k", per_s / 1000);
  if (per_s >= 999.5) return fmt::format("{:.1f}k", per_s / 1000);
  return fmt::format("{:.0f}", per_s);
}

size_t terminal_width(std::FILE* stream) {
  winsize size{};
  return ::ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(seconds));
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

std::string progress_line(const Progress& progress, double seconds_left) {
  std::string text = fmt::format("step {}/{}  loss {:.4f}  {} tokens/s", progress.step, progress.steps, progress.loss,
                                 rate_text(progress.tokens_per_s));
  if (seconds_left >= 0 && progress.step < progress.steps) text += "  ETA " + duration_text(seconds_left);
  return progress.note.empty() ? text : text + "  " + progress.note;
}

Log::Log(bool quiet, std::FILE* stream) : stream_(stream), quiet_(quiet), terminal_(::isatty(fileno(stream)) == 1) {}

Log::~Log() {
  if (status_shown_) std::fputc('\n', stream_);
}

void Log::clear_status() {
  if (status_shown_) std::fputs("\r\x1b[K", stream_);
  status_shown_ = false;
}

void Log::info(const std::string& line) {
  if (quiet_) return;
  clear_status();
  std::fprintf(stream_, "%s\n", line.c_str());
  std::fflush(stream_);
}

void Log::warn(const std::string& line) {
  clear_status();
  std::fprintf(stream_, "warning: %s\n", line.c_str());
  std::fflush(stream_);
}

double Log::seconds_left(const Progress& progress) {
  const auto now = Clock::now();
  if (progress.step < last_step_ || last_step_ < 0) {  // a new training
    first_step_ = progress.step;
    first_time_ = now;
  }
  last_step_ = progress.step;
  const int64_t done = progress.step - first_step_;
  if (done <= 0) return -1;
  return seconds_between(first_time_, now) / static_cast<double>(done) * static_cast<double>(progress.steps - progress.step);
}

void Log::progress(const Progress& progress) {
  const double left = seconds_left(progress);
  if (quiet_) return;
  const auto now = Clock::now();
  const bool last = progress.step >= progress.steps;
  if (!last && seconds_between(shown_, now) < (terminal_ ? kTerminalEvery_s : kPlainEvery_s)) return;
  shown_ = now;
  std::string line = progress_line(progress, left);
  if (!terminal_) {
    std::fprintf(stream_, "%s\n", line.c_str());
  } else {
    line.resize(std::min(line.size(), terminal_width(stream_) - 1));  // a wrapped line could not be rewritten
    std::fprintf(stream_, "\r%s\x1b[K", line.c_str());
    status_shown_ = !last;
    if (last) std::fputc('\n', stream_);
  }
  std::fflush(stream_);
}

}  // namespace mneme
