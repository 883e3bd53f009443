// The engine for AVX2.
#include "kernels/slots.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#include "kernels/engine_table.h"

namespace mneme::kernels {
const Engine* avx2_engine() {
  static const Engine engine = engine_table<8>("avx2");
  return __builtin_cpu_supports("x86-64-v3") ? &engine : nullptr;
}
}  // namespace mneme::kernels
#pragma GCC pop_options
#else
namespace mneme::kernels {
const Engine* avx2_engine() { return nullptr; }
}  // namespace mneme::kernels
#endif
