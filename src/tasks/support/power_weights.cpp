#include "tasks/support/power_weights.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr double kLn2 = 0.69314718055994530942;
constexpr double kScale = 0x1.0p40;  // the sum of 2^22 weights stays below 2^63
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

std::vector<uint64_t> power_weights(int64_t count, double exponent) {
  MNEME_ASSERT(count >= 1 && exponent <= 0);
  std::vector<uint64_t> weights;
  weights.reserve(static_cast<size_t>(count));
  for (int64_t place = 0; place < count; ++place)
    weights.push_back(static_cast<uint64_t>(kScale * portable_exp(exponent * portable_log(static_cast<double>(place + 1)))) + 1);
  return weights;
}

PowerDraw::PowerDraw(int64_t count, double exponent) : sums_(power_weights(count, exponent)) {
  std::partial_sum(sums_.begin(), sums_.end(), sums_.begin());
}

size_t PowerDraw::draw(Random& random) const {
  return static_cast<size_t>(std::upper_bound(sums_.begin(), sums_.end(), random.below(sums_.back())) - sums_.begin());
}

}  // namespace mneme
