#include "base/allocator.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <malloc.h>

#include <cstddef>
#include <cstring>

namespace mneme {

namespace {

using Control = int (*)(const char* name, void* old, size_t* old_size, void* value, size_t size);

/// jemalloc's control function, null where another allocator serves malloc.
Control jemalloc() {
  static const Control control = reinterpret_cast<Control>(dlsym(RTLD_DEFAULT, "mallctl"));
  return control;
}

}  // namespace

void keep_freed_blocks() {
  if (jemalloc()) return;  // told at link time: src/cli/main/main.cpp
  constexpr int kKeep = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kKeep);
  mallopt(M_TRIM_THRESHOLD, kKeep);
}

void release_free_memory() {
  constexpr const char* kPurgeAllArenas = "arena.4096.purge";  // MALLCTL_ARENAS_ALL
  if (const Control control = jemalloc()) control(kPurgeAllArenas, nullptr, nullptr, nullptr, 0);
  malloc_trim(0);
}

std::string allocator_description() {
  const char* version = "";
  size_t size = sizeof version;
  if (const Control control = jemalloc(); control && control("version", static_cast<void*>(&version), &size, nullptr, 0) == 0)
    return fmt::format("jemalloc {}", std::string(version, std::strcspn(version, "-")));
  return fmt::format("glibc {}", gnu_get_libc_version());
}

}  // namespace mneme
