#include "tasks/support/query_slots.h"

#include <bit>

#include "base/assert.h"
#include "tasks/support/power_weights.h"

namespace mneme {

QuerySlots::QuerySlots(int64_t space, double a) : space_(space), weights_(power_weights(space, a - 1)) {
  MNEME_ASSERT(a > 0 && a <= 1);
  tree_.assign(static_cast<size_t>(space) + 1, 0);
  for (const uint64_t weight : weights_) total_ += weight;
  for (size_t i = 1; i < tree_.size(); ++i) {
    tree_[i] += weights_[i - 1];
    if (const size_t parent = i + (i & -i); parent < tree_.size()) tree_[parent] += tree_[i];
  }
}

std::vector<int64_t> QuerySlots::draw(Random& random, int64_t count) const {
  MNEME_ASSERT(count <= space_);
  std::vector<uint64_t> tree = tree_;
  uint64_t total = total_;
  std::vector<int64_t> slots;
  for (int64_t drawn = 0; drawn < count; ++drawn) {
    uint64_t rest = random.below(total);
    size_t slot = 0;  // largest number of leading weights whose sum is ≤ rest
    for (size_t step = std::bit_floor(tree.size() - 1); step > 0; step /= 2)
      if (slot + step < tree.size() && tree[slot + step] <= rest) rest -= tree[slot += step];
    slots.push_back(static_cast<int64_t>(slot));
    total -= weights_[slot];
    for (size_t i = slot + 1; i < tree.size(); i += i & -i) tree[i] -= weights_[slot];
  }
  return slots;
}

}  // namespace mneme
