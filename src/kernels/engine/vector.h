// Vectors of L floats by the vector extension of GCC and Clang, and the functions of the memory on them.
//
// The headers of this folder are compiled once per instruction set (table.cpp), L = 16 (AVX-512), 8 (AVX2) or 4. All they define has
// internal linkage, and they use no function of the standard library: a linker that finds the same inline function in several object
// files keeps any one of them, and an AVX-512 one in a program that runs elsewhere kills it.
#pragma once

#include "kernels/engine.h"

namespace mneme::kernels {
namespace {

template <int L>
struct Lanes {
  typedef float Float __attribute__((vector_size(4 * L), aligned(4), may_alias));
  typedef int32_t Int __attribute__((vector_size(4 * L), aligned(4), may_alias));
};
template <int L>
using Float = typename Lanes<L>::Float;
template <int L>
using Int = typename Lanes<L>::Int;

template <int L>
MNEME_ALWAYS_INLINE Float<L>& at(float* x) {
  return *reinterpret_cast<Float<L>*>(x);
}
template <int L>
MNEME_ALWAYS_INLINE const Float<L>& at(const float* x) {
  return *reinterpret_cast<const Float<L>*>(x);
}

template <int L>
MNEME_ALWAYS_INLINE float sum(Float<L> x) {
  if constexpr (L == 2) {
    return x[0] + x[1];
  } else {
    struct Halves {
      Float<L / 2> low, high;
    };
    const Halves halves = __builtin_bit_cast(Halves, x);
    return sum<L / 2>(halves.low + halves.high);
  }
}

/// e^x for x ≤ 0, within 2 ulp down to −87 and e^−87 below (the scheme of loops.h).
template <int L>
MNEME_ALWAYS_INLINE Float<L> exp(Float<L> x) {
  const Float<L> low = Float<L>{} - 87.0f;
  x = x < low ? low : x;
  constexpr float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
  constexpr int32_t magic_bits = 0x4B400000;
  const Float<L> shifted = x * 1.44269504088896341f + magic, n = shifted - magic;
  const Float<L> r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Float<L> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return (Float<L>)((Int<L>)p + (((Int<L>)shifted - magic_bits) << 23));
}

/// gelu(x) = x Φ(x); with D ≥ 1 `slope` = gelu'(x) = Φ(x) + x φ(x), with D ≥ 2 `curve` = gelu''(x) = φ(x) (2 − x²). Φ from φ
/// within 2e-7 (Abramowitz and Stegun 26.2.17), which all three share.
template <int L, int D>
MNEME_ALWAYS_INLINE Float<L> gelu(Float<L> x, Float<L>& slope, Float<L>& curve) {
  const Float<L> density = exp<L>(x * x * -0.5f) * 0.3989422804f, size = (Float<L>)((Int<L>)x & 0x7FFFFFFF);
  const Float<L> t = 1.0f / (size * 0.2316419f + 1.0f);
  Float<L> p = t * 1.330274429f + -1.821255978f;
  p = p * t + 1.781477937f;
  p = p * t + -0.356563782f;
  p = p * t + 0.319381530f;
  const Float<L> tail = density * (p * t), below = x > 0.0f ? 1.0f - tail : tail;
  if constexpr (D > 0) slope = below + x * density;
  if constexpr (D > 1) curve = density * (2.0f - x * x);
  return x * below;
}

}  // namespace
}  // namespace mneme::kernels
