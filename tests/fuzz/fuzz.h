// Inputs by libFuzzer: a target tells only of what nobody foresaw. Errors of mneme/errors.h are the answers to bad input.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "mneme/errors.h"

namespace mneme::fuzz {

/// The input as a file of this process.
inline const std::string& file_of(const uint8_t* bytes, size_t size, const char* name) {
  static const std::string folder = [] {
    const std::string made = (std::filesystem::temp_directory_path() / ("mneme_fuzz_" + std::to_string(::getpid()))).string();
    std::filesystem::create_directories(made);
    static std::string gone = made;
    std::atexit([] { std::filesystem::remove_all(gone); });
    return made;
  }();
  static std::string path;
  path = folder + "/" + name;
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  return path;
}

template <class Read>
void read_or_refuse(Read read) {
  try {
    read();
  } catch (const Error&) {
  }
}

}  // namespace mneme::fuzz
