// Vectors of L floats by GCC's vector extension, and the functions of the memory on them.
//
// Headers of this folder that are templates on L are compiled once per instruction set: engine_<isa>.cpp includes them
// inside a target region, L = 16 (AVX-512), 8 (AVX2) or 4. They include nothing that is not included before that region.
#pragma once

#include <cstdint>

#define MNEME_ALWAYS_INLINE inline __attribute__((always_inline))

namespace mneme::memory::fused {

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

/// e^x within 2 ulp for −87 ≤ x ≤ 88, clamped outside (the scheme of nn/simd.h).
template <int L>
MNEME_ALWAYS_INLINE Float<L> exp(Float<L> x) {
  const Float<L> zero = {}, low = zero - 87.0f, high = zero + 88.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
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

/// erf(x) within a few ulp: a rational function on |x| ≤ 4.
template <int L>
MNEME_ALWAYS_INLINE Float<L> erf(Float<L> x) {
  const Float<L> zero = {}, low = zero - 4.0f, high = zero + 4.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Float<L> y = x * x;
  Float<L> a = y * -2.72614225801306e-10f + 2.77068142495902e-08f;
  a = a * y + -2.10102402082508e-06f;
  a = a * y + -5.69250639462346e-05f;
  a = a * y + -7.34990630326855e-04f;
  a = a * y + -2.95459980854025e-03f;
  a = a * y + -1.60960333262415e-02f;
  Float<L> b = y * -1.45660718464996e-05f + -2.13374055278905e-04f;
  b = b * y + -1.68282697438203e-03f;
  b = b * y + -7.37332916720468e-03f;
  b = b * y + -1.42647390514189e-02f;
  return x * a / b;
}

constexpr float kInverseSqrt2 = 0.70710678118654752f, kInverseSqrt2Pi = 0.39894228040143268f;

/// gelu(x) = x Φ(x); with D ≥ 1 `slope` = gelu'(x) = Φ(x) + x φ(x), with D ≥ 2 `curve` = gelu''(x) = φ(x) (2 − x²).
template <int L, int D>
MNEME_ALWAYS_INLINE Float<L> gelu(Float<L> x, Float<L>& slope, Float<L>& curve) {
  const Float<L> below = (erf<L>(x * kInverseSqrt2) + 1.0f) * 0.5f;
  if constexpr (D > 0) {
    const Float<L> density = exp<L>(x * x * -0.5f) * kInverseSqrt2Pi;
    slope = below + x * density;
    if constexpr (D > 1) curve = density * (2.0f - x * x);
  }
  return x * below;
}

}  // namespace mneme::memory::fused
