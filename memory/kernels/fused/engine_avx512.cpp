// The engine for AVX-512.
#include "memory/kernels/fused/slots.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#include "memory/kernels/fused/engine_table.h"

namespace mneme::memory::fused {
const Engine* avx512_engine() {
  static const Engine engine = engine_table<16>("avx512");
  return __builtin_cpu_supports("x86-64-v4") ? &engine : nullptr;
}
}  // namespace mneme::memory::fused
#pragma GCC pop_options
#else
namespace mneme::memory::fused {
const Engine* avx512_engine() { return nullptr; }
}  // namespace mneme::memory::fused
#endif
