// Predictors of in-context regression that nothing is trained for (mneme/task.h, Reference).
#pragma once

#include <functional>
#include <vector>

namespace mneme {

/// What a row has shown: n pairs, x [n,d] and y [n,o], and the x that is asked, [d].
struct ShownPairs {
  int64_t count = 0, dimension = 0, outputs = 0;
  std::vector<double> x, y, asked;
};

/// x of A x = b for A [n,n], symmetric and positive definite, b [n,m]: A = L Lᵀ (Cholesky), row-major, in place. O(n³/3 + n² m).
void solve_cholesky(std::vector<double>& A, std::vector<double>& b, int64_t n);

/// y = w·x with w ~ N(0, s/d · I) and answers of noise variance `noise`, in all variance s + noise: the mean of w given the pairs,
/// (XᵀX + (noise · d/s) I)⁻¹ Xᵀ Y; of noise 0 its limit, the shortest w of the least squares. Ridge regression. O(n d² + d³).
std::vector<double> ridge(const ShownPairs& pairs, double signal, double noise);

/// The best prediction that is linear in the answers seen, where answers have covariance k(x, x') and noise variance `noise`:
/// k(x, X) (k(X, X) + noise I)⁻¹ Y. Gaussian-process regression (Rasmussen & Williams 2006, eq. 2.25). O(n³).
std::vector<double> gaussian_process(const ShownPairs& pairs, const std::function<double(const double*, const double*)>& covariance, double noise);

/// The mean answer of the `neighbours` nearest x seen; of all where there are fewer, 0 of none.
std::vector<double> nearest(const ShownPairs& pairs, int64_t neighbours);

}  // namespace mneme
