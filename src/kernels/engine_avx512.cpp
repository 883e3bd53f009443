// The engine for AVX-512.
#include "kernels/slots.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#include "kernels/engine_table.h"

namespace mneme::kernels {
const Engine* avx512_engine() {
  static const Engine engine = engine_table<16>("avx512");
  return __builtin_cpu_supports("x86-64-v4") ? &engine : nullptr;
}
}  // namespace mneme::kernels
#pragma GCC pop_options
#else
namespace mneme::kernels {
const Engine* avx512_engine() { return nullptr; }
}  // namespace mneme::kernels
#endif
