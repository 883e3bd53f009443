#include "eval/out_of_memory.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <new>

#include "base/provenance.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

std::string memory_size(double bytes) {
  return bytes >= 1024 * kMiB ? fmt::format("{:.1f} GiB", bytes / 1024 / kMiB) : fmt::format("{:.0f} MiB", bytes / kMiB);
}

/// The number in a file of one number ("max" is none), or after "MemAvailable:".
double number_in(const char* path, const char* after = nullptr) {
  std::ifstream file(path);
  for (std::string word; after && word != after && file >> word;) {}
  double number = 0;
  return file >> number ? number : std::numeric_limits<double>::infinity();
}

/// Bytes that this process can still get: of the machine, of its control group, of its own limit (ulimit -v).
double bytes_left() {
  double left = number_in("/proc/meminfo", "MemAvailable:") * 1024;
  if (const double limit = number_in("/sys/fs/cgroup/memory.max"); std::isfinite(limit))
    left = std::min(left, limit - number_in("/sys/fs/cgroup/memory.current"));
  rlimit own{};
  if (::getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur != RLIM_INFINITY)
    left = std::min(left, static_cast<double>(own.rlim_cur) - number_in("/proc/self/statm") * 4096);
  return std::max(0.0, left);
}

/// Bytes that the exception being handled says were asked for, 0 where it does not say how many; nothing where it is about something else.
std::optional<double> bytes_asked_for() {
  try {
    throw;
  } catch (const c10::Error& error) {
    constexpr std::string_view kAsked = "you tried to allocate ";
    const std::string& text = error.msg();
    const size_t at = text.find(kAsked);
    if (at != std::string::npos) return std::strtod(text.c_str() + at + kAsked.size(), nullptr);
  } catch (const std::bad_alloc&) {
    return 0.0;
  } catch (...) {
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> out_of_memory_text(const std::function<std::string(int64_t times)>& advice) {
  const std::optional<double> asked = bytes_asked_for();
  if (!asked) return std::nullopt;
  const double used = rss_mib() * kMiB, left = bytes_left();
  const double times = std::isfinite(left) ? std::ceil((used + *asked) / std::max(kMiB, used + left)) : 2;
  const std::string what = *asked > 0 ? fmt::format("{} more were asked for", memory_size(*asked)) : "more was asked for";
  return fmt::format("out of memory: {}, {} are left, {} are in use by this process; {}", what,
                     std::isfinite(left) ? memory_size(left) : "few", memory_size(used), advice(std::max<int64_t>(2, static_cast<int64_t>(times))));
}

void rethrow_out_of_memory(const std::function<std::string(int64_t times)>& advice) {
  if (const auto text = out_of_memory_text(advice)) throw Error(*text);
  throw;
}

}  // namespace mneme
