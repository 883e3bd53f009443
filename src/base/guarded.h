// Work that may crash, hang or ask for all memory: libraries on files that nobody has checked. It is done in a copy of this process
// (fork), of which only what it found comes back.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace mneme {

struct GuardLimits {
  double processor_seconds = 0.5;
  size_t bytes = size_t{256} << 20;  // more than this process has
};

/// What `work` returns. DataError: what it threw, or that it crashed, took too long or too much memory; the message says so of `what`
/// ("run.h5"). Meant for work in one thread: the copy has no others.
std::string guarded(const std::string& what, const GuardLimits& limits, const std::function<std::string()>& work);

}  // namespace mneme
