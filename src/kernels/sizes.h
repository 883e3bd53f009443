// Sizes that callers and engines agree on, and the forms of a memory network.
#pragma once

#include <cstdint>

namespace mneme::kernels {

constexpr int64_t kPad = 16;         ///< rows of scratch are filled up to a multiple of it
constexpr int64_t kTileTokens = 64;  ///< at most; never changes results beyond rounding
constexpr int kMaxFastWeights = 3;   ///< of a memory network: two matrices and a gain
static constexpr int64_t padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }

enum class Form { linear, feature, residual_norm };  ///< network.h

/// Tiles of a call: they end at multiples of `refresh` (0: none) in the stream and hold at most kTileTokens.
static inline int64_t tile_size(int64_t refresh, int64_t position, int64_t left) {
  int64_t size = kTileTokens < left ? kTileTokens : left;
  if (refresh > 0 && refresh - position % refresh < size) size = refresh - position % refresh;
  return size;
}

}  // namespace mneme::kernels
