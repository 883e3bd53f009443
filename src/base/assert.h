// MNEME_ASSERT(condition): a mistake of ours, in every build type. Mistakes of users are the exceptions of mneme/errors.h.
#pragma once

#include <stdexcept>
#include <string>

namespace mneme {

[[noreturn]] inline void assertion_failed(const char* condition, const char* file, int line) {
  throw std::logic_error("internal error: " + std::string(condition) + " does not hold (" + file + ":" +
                         std::to_string(line) + "); please report it");
}

}  // namespace mneme

#define MNEME_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::mneme::assertion_failed(#condition, __FILE__, __LINE__))
