#include "tasks/support/regression_reference.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>

#include "base/assert.h"

namespace mneme {

// Singular systems of exact answers have a limit; these stand for it. Answers are fp32, whose rounding the second keeps small where the
// covariance is flat.
constexpr double kRidgeFloor = 1e-9, kNoiseFloor = 1e-7;

void solve_cholesky(std::vector<double>& A, std::vector<double>& b, int64_t n) {
  const int64_t m = n > 0 ? static_cast<int64_t>(b.size()) / n : 0;
  double* a = A.data();
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (int64_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      MNEME_ASSERT(i > j || sum > 0);
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
  }
  for (int64_t c = 0; c < m; ++c) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = b[static_cast<size_t>(i * m + c)];
      for (int64_t k = 0; k < i; ++k) sum -= a[i * n + k] * b[static_cast<size_t>(k * m + c)];
      b[static_cast<size_t>(i * m + c)] = sum / a[i * n + i];
    }
    for (int64_t i = n; i-- > 0;) {
      double sum = b[static_cast<size_t>(i * m + c)];
      for (int64_t k = i + 1; k < n; ++k) sum -= a[k * n + i] * b[static_cast<size_t>(k * m + c)];
      b[static_cast<size_t>(i * m + c)] = sum / a[i * n + i];
    }
  }
}

std::vector<double> ridge(const ShownPairs& pairs, double signal, double noise) {
  const int64_t d = pairs.dimension, o = pairs.outputs;
  std::vector<double> A(static_cast<size_t>(d * d)), w(static_cast<size_t>(d * o));
  for (int64_t n = 0; n < pairs.count; ++n) {
    const double *x = pairs.x.data() + n * d, *y = pairs.y.data() + n * o;
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t j = 0; j <= i; ++j) A[static_cast<size_t>(i * d + j)] += x[i] * x[j];
      for (int64_t c = 0; c < o; ++c) w[static_cast<size_t>(i * o + c)] += x[i] * y[c];
    }
  }
  const double penalty = std::max(kRidgeFloor, noise * static_cast<double>(d) / signal);
  for (int64_t i = 0; i < d; ++i) A[static_cast<size_t>(i * d + i)] += penalty;
  solve_cholesky(A, w, d);
  std::vector<double> said(static_cast<size_t>(o));
  for (int64_t i = 0; i < d; ++i)
    for (int64_t c = 0; c < o; ++c) said[static_cast<size_t>(c)] += pairs.asked[static_cast<size_t>(i)] * w[static_cast<size_t>(i * o + c)];
  return said;
}

std::vector<double> gaussian_process(const ShownPairs& pairs, const std::function<double(const double*, const double*)>& covariance, double noise) {
  const int64_t N = pairs.count, d = pairs.dimension, o = pairs.outputs;
  std::vector<double> K(static_cast<size_t>(N * N)), weights = pairs.y;
  for (int64_t i = 0; i < N; ++i) {
    for (int64_t j = 0; j <= i; ++j) K[static_cast<size_t>(i * N + j)] = covariance(pairs.x.data() + i * d, pairs.x.data() + j * d);
    K[static_cast<size_t>(i * N + i)] += std::max(kNoiseFloor, noise);
  }
  solve_cholesky(K, weights, N);
  std::vector<double> said(static_cast<size_t>(o));
  for (int64_t i = 0; i < N; ++i) {
    const double k = covariance(pairs.asked.data(), pairs.x.data() + i * d);
    for (int64_t c = 0; c < o; ++c) said[static_cast<size_t>(c)] += k * weights[static_cast<size_t>(i * o + c)];
  }
  return said;
}

std::vector<double> nearest(const ShownPairs& pairs, int64_t neighbours) {
  std::vector<int64_t> order(static_cast<size_t>(pairs.count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::vector<double> distance;
  for (int64_t n = 0; n < pairs.count; ++n) {
    double sum = 0;
    for (int64_t i = 0; i < pairs.dimension; ++i) {
      const double apart = pairs.x[static_cast<size_t>(n * pairs.dimension + i)] - pairs.asked[static_cast<size_t>(i)];
      sum += apart * apart;
    }
    distance.push_back(sum);
  }
  const int64_t count = std::min(neighbours, pairs.count);
  const auto place = [&](int64_t n) { return std::pair(distance[static_cast<size_t>(n)], n); };
  const auto before = [&](int64_t a, int64_t b) { return place(a) < place(b); };
  std::partial_sort(order.begin(), order.begin() + count, order.end(), before);
  std::vector<double> said(static_cast<size_t>(pairs.outputs));
  for (int64_t n = 0; n < count; ++n)
    for (int64_t c = 0; c < pairs.outputs; ++c)
      said[static_cast<size_t>(c)] += pairs.y[static_cast<size_t>(order[static_cast<size_t>(n)] * pairs.outputs + c)] / static_cast<double>(count);
  return said;
}

}  // namespace mneme
