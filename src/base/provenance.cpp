#include "base/provenance.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "mneme_version.h"

namespace mneme {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

std::string quoted(const std::string& argument) {
  const std::string plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:+@%^";
  if (!argument.empty() && argument.find_first_not_of(plain) == std::string::npos) return argument;
  std::string text = "'";
  for (char c : argument) {
    if (c == '\'') text += "'\\'";
    text += c;
  }
  return text + "'";
}

}  // namespace

namespace {

std::string& added_code() {
  static std::string added;
  return added;
}

}  // namespace

std::string code_version() { return std::string(MNEME_VERSION) + "+" + MNEME_COMMIT + added_code(); }

void add_code(const std::string& part) { added_code() += " " + part; }

bool code_dirty() { return MNEME_DIRTY != 0; }

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return trim(line.substr(line.find(':') + 1));
  return "unknown";
}

double rss_mib() {
  std::ifstream file("/proc/self/statm");
  double size_pages = 0, resident_pages = 0;
  if (!(file >> size_pages >> resident_pages)) return peak_rss_mib();
  return resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / kMiB;
}

double peak_rss_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;  // KiB on Linux
}

double processor_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string command_line(int argc, const char* const* argv) {
  std::string text = argc > 0 ? quoted(std::filesystem::path(argv[0]).filename().string()) : "";
  for (int i = 1; i < argc; ++i) text.append(" ").append(quoted(argv[i]));
  return text;
}

}  // namespace mneme
