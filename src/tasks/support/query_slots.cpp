#include "tasks/support/query_slots.h"

#include <bit>
#include <cmath>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr double kLn2 = 0.69314718055994530942;
constexpr double kScale = 0x1.0p40;  // the sum of 2^22 weights stays below 2^45
constexpr int kTerms = 24;           // both series end below 1e-16 by then

// ln x = e·ln 2 + 2·artanh((m−1)/(m+1)) with x = m·2^e, 1 ≤ m < 2.
double portable_log(double x) {
  int exponent = 0;
  const double mantissa = 2 * std::frexp(x, &exponent);
  const double z = (mantissa - 1) / (mantissa + 1);
  double sum = 0, power = z;
  for (int k = 0; k < kTerms; ++k, power *= z * z) sum += power / (2 * k + 1);
  return (exponent - 1) * kLn2 + 2 * sum;
}

// e^x = 2^n · e^(x − n·ln 2).
double portable_exp(double x) {
  const double n = std::floor(x / kLn2);
  const double rest = x - n * kLn2;
  double sum = 1, term = 1;
  for (int k = 1; k < kTerms; ++k) sum += term *= rest / k;
  return std::ldexp(sum, static_cast<int>(n));
}

}  // namespace

QuerySlots::QuerySlots(int64_t space, double a) : space_(space) {
  MNEME_ASSERT(space >= 1 && a > 0 && a <= 1);
  weights_.reserve(static_cast<size_t>(space));
  tree_.assign(static_cast<size_t>(space) + 1, 0);
  for (int64_t slot = 0; slot < space; ++slot) {
    const double weight = portable_exp((a - 1) * portable_log(static_cast<double>(slot + 1)));
    weights_.push_back(static_cast<uint64_t>(kScale * weight) + 1);
    total_ += weights_.back();
  }
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
