// How the forward pass leaves the states at tile starts for the backward pass, and the walk back over them.
#pragma once

#include "kernels/engine.h"
#include "kernels/engine/scratch.h"

namespace mneme::kernels {
namespace {

/// w = W − I and S of every layer.
struct NetworkSlot {
  Matrix w[kMaxFastWeights], S[kMaxFastWeights];

  NetworkSlot(const NetworkShape& s, Arena& a) {
    for (int l = 0; l < s.layers(); ++l) {
      w[l] = a.matrix(s.in(l), s.out(l));
      if (s.momentum) S[l] = a.matrix(s.in(l), s.out(l));
    }
  }
  static int64_t floats(const NetworkShape& s) {
    Arena count(nullptr);
    NetworkSlot slot(s, count);
    return count.used();
  }
  static NetworkSlot at(const NetworkShape& s, float* block) {
    Arena a(block);
    return NetworkSlot(s, a);
  }
};

/// A tile on the way back.
struct TileSpan {
  int64_t index, first, size;
  int64_t point;   ///< slot of its refresh point's weights; −1: the point lies before the call
  bool new_point;  ///< another than the last tile's
  bool starts_at_point;
};

/// Tiles of a call from the last to the first.
class IntervalWalk {
 public:
  IntervalWalk(int64_t refresh, int64_t position, int64_t tokens, int64_t tiles)
      : refresh_(refresh), position_(position), tokens_(tokens), index_(tiles), end_(tokens) {}

  bool next(TileSpan& tile) {
    if (index_-- == 0) return false;
    int64_t first = 0;
    for (int64_t j = 0; j < index_; ++j) first += tile_size(refresh_, position_ + first, tokens_ - first);
    const int64_t done = refresh_ ? (position_ + first) % refresh_ : 0;
    const int64_t point = done > first ? -1 : index_ - done / kTileTokens;  // an interval's tiles are whole up to its last
    tile = {index_, first, end_ - first, point, point != point_, refresh_ > 0 && done == 0};
    point_ = point;
    end_ = first;
    return true;
  }

 private:
  int64_t refresh_, position_, tokens_, index_, end_, point_ = -2;
};

}  // namespace
}  // namespace mneme::kernels
