// Helpers for hand-written CPU kernels: loops compiled for several instruction sets, and functions that vectorise.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// GCC compiles the function for each instruction set and picks one at load time. Not under AddressSanitizer, whose
// run-time is not ready when the choice is made.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define MNEME_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MNEME_SIMD
#endif

#define MNEME_INLINE inline __attribute__((always_inline))

namespace mneme::simd {

/// e^x within 2 ulp for −87 ≤ x ≤ 88 (clamped outside): Cody–Waite reduction and a degree-6 polynomial, branch-free.
MNEME_INLINE float exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
  const float shifted = x * 1.44269504088896341f + magic;
  const float n = shifted - magic;
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(magic)) << 23;
  return std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent);
}

MNEME_INLINE double exp(double x) { return std::exp(x); }

template <class T>
MNEME_INLINE T sigmoid(T x) {
  return T(1) / (T(1) + simd::exp(-x));
}

}  // namespace mneme::simd
