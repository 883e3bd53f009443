// Memory ran out: how much was asked for, how much is left, and what to make smaller, by how much.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mneme {

/// In a catch block: "out of memory: …" where the exception being handled says so, else nothing. `advice(times)` says what to make so many times
/// smaller.
std::optional<std::string> out_of_memory_text(const std::function<std::string(int64_t times)>& advice);

/// Throws that text as an Error, else the exception being handled again.
[[noreturn]] void rethrow_out_of_memory(const std::function<std::string(int64_t times)>& advice);

}  // namespace mneme
