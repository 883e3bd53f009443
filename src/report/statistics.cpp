#include "report/statistics.h"

#include <algorithm>
#include <boost/math/distributions/hypergeometric.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

namespace mneme {

namespace {

/// What differs by less than rounding is equal: the mean of equal values need not be the value.
double without_rounding(double value, const std::vector<double>& of) {
  double largest = 0;
  for (const double each : of) largest = std::max(largest, std::abs(each));
  return std::abs(value) <= 1e-13 * largest ? 0 : value;
}

double t_quantile(double freedom) { return boost::math::quantile(boost::math::students_t(freedom), (1 + kConfidence) / 2); }

/// Interval and p of a mean with this standard error; none of what is not a number.
void test_mean(Difference& difference, double error, double freedom) {
  if (!std::isfinite(difference.mean) || !std::isfinite(error)) return;
  if (error == 0) {
    difference.half_width = 0;
    difference.p = difference.mean == 0 ? 1 : 0;
    return;
  }
  difference.half_width = t_quantile(freedom) * error;
  difference.p = 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(freedom), std::abs(difference.mean) / error));
}

}  // namespace

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double center = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - center) * (value - center);
  return without_rounding(std::sqrt(sum / static_cast<double>(values.size() - 1)), values);
}

std::optional<double> half_width(const std::vector<double>& values) { return paired_difference(values).half_width; }

Interval wilson_interval(const Counts& counts) {
  if (counts.trials <= 0) return {0, 1};
  const double z = boost::math::quantile(boost::math::normal(), (1 + kConfidence) / 2), n = counts.trials, rate = counts.right / n;
  const double center = rate + z * z / (2 * n), reach = z * std::sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)), scale = 1 + z * z / n;
  return {counts.right <= 0 ? 0 : std::max(0.0, (center - reach) / scale), counts.right >= n ? 1 : std::min(1.0, (center + reach) / scale)};
}

double fisher_p(const Counts& a, const Counts& b) {
  const int64_t ours = std::llround(a.trials), theirs = std::llround(b.trials), seen = std::llround(a.right);
  const int64_t all = ours + theirs, right = seen + std::llround(b.right);
  if (ours <= 0 || theirs <= 0 || right == 0 || right == all) return 1;
  const int64_t first = std::max<int64_t>(0, right - theirs), last = std::min(ours, right);
  // P(k + 1) / P(k) of the hypergeometric distribution.
  const auto step = [&](int64_t k) {
    return static_cast<double>(right - k) / static_cast<double>(k + 1) * (static_cast<double>(ours - k) / static_cast<double>(theirs - right + k + 1));
  };
  constexpr double kAsLikely = 1 + 1e-7;  // rounding
  double tables = 1, ratio = 1;           // over P(seen)
  for (int64_t k = seen; k < last; ++k)
    if ((ratio *= step(k)) <= kAsLikely) tables += ratio;
  ratio = 1;
  for (int64_t k = seen; k > first; --k)
    if ((ratio /= step(k - 1)) <= kAsLikely) tables += ratio;
  using boost::math::hypergeometric;
  const double likely = boost::math::pdf(hypergeometric(static_cast<uint64_t>(right), static_cast<uint64_t>(ours), static_cast<uint64_t>(all)), seen);
  return std::min(1.0, likely * tables);
}

double least_p(int64_t n, int64_t m) {
  double arrangements = 1;
  for (int64_t i = 1; i <= n; ++i) arrangements *= static_cast<double>(m + i) / static_cast<double>(i);
  return std::min(1.0, 2 / arrangements);
}

Difference paired_difference(const std::vector<double>& differences) {
  Difference result;
  result.n = static_cast<int64_t>(differences.size());
  if (differences.empty()) return result;
  result.mean = mean(differences);
  if (result.n < 2) return result;
  const double n = static_cast<double>(result.n);
  result.least = least_p(result.n, result.n);
  test_mean(result, standard_deviation(differences) / std::sqrt(n), n - 1);
  return result;
}

Difference welch_difference(const std::vector<double>& a, const std::vector<double>& b) {
  Difference result;
  result.paired = false;
  result.n = static_cast<int64_t>(std::min(a.size(), b.size()));
  if (result.n < 1) return result;
  std::vector<double> all = a;
  all.insert(all.end(), b.begin(), b.end());
  result.mean = without_rounding(mean(a) - mean(b), all);
  if (result.n < 2) return result;
  const auto square_error = [](const std::vector<double>& values) {
    const double deviation = standard_deviation(values);
    return deviation * deviation / static_cast<double>(values.size());
  };
  const double ours = square_error(a), theirs = square_error(b), sum = ours + theirs;
  const double freedom = sum * sum / (ours * ours / static_cast<double>(a.size() - 1) + theirs * theirs / static_cast<double>(b.size() - 1));
  result.least = least_p(static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
  test_mean(result, std::sqrt(sum), freedom);
  return result;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double least = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    least = std::max(least, std::min(1.0, static_cast<double>(p.size() - rank) * p[order[rank]]));
    adjusted[order[rank]] = least;
  }
  return adjusted;
}

}  // namespace mneme
