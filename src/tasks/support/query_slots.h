// Where MQAR asks: `count` different slots of 0 … space−1, drawn one after the other without replacement with weight
// ∝ a·(slot+1)^(a−1) (Arora et al. 2023, Zoology, arXiv 2312.04927). a = 1 is uniform; small a asks soon after the
// pairs.
//
// Cost: O(space) to make, O(space + count·log space) a draw.
#pragma once

#include <cstdint>
#include <vector>

#include "mneme/random.h"

namespace mneme {

class QuerySlots {
 public:
  /// 0 < a ≤ 1.
  QuerySlots(int64_t space, double a);

  /// In the order drawn.
  std::vector<int64_t> draw(Random& random, int64_t count) const;

 private:
  int64_t space_;
  uint64_t total_ = 0;
  std::vector<uint64_t> weights_;
  std::vector<uint64_t> tree_;  // Fenwick tree of the weights, 1-based
};

}  // namespace mneme
