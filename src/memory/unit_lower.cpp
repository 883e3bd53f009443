#include "memory/unit_lower.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/fused.h"
#include "nn/simd.h"

namespace mneme::memory {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Y = (I + A)^{-1}: row t is e_t − Σ_{i<t} A[t,i] · row i, and row i ends at column i. Four rows at a time share a pass.
template <class T>
MNEME_INLINE void invert(const T* A, T* Y, int64_t n) {
  for (int64_t t = 0; t < n; ++t) {
    const T* at = A + t * n;
    T* yt = Y + t * n;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) yt[j] = 0;
    yt[t] = 1;
    int64_t i = 0;
    for (; i + 4 <= t; i += 4) {
      const T a = at[i], b = at[i + 1], c = at[i + 2], d = at[i + 3];
      const T *ya = Y + i * n, *yb = ya + n, *yc = yb + n, *yd = yc + n;
#pragma omp simd
      for (int64_t j = 0; j < i + 4; ++j) yt[j] -= a * ya[j] + b * yb[j] + c * yc[j] + d * yd[j];
    }
    for (; i < t; ++i) {
      const T a = at[i];
      const T* ya = Y + i * n;
#pragma omp simd
      for (int64_t j = 0; j <= i; ++j) yt[j] -= a * ya[j];
    }
  }
}

MNEME_SIMD void invert_kernel(const float* A, float* Y, int64_t n) { invert(A, Y, n); }
void invert_kernel(const double* A, double* Y, int64_t n) { invert(A, Y, n); }

at::Tensor inverse_of(const at::Tensor& A) {
  at::Tensor Y = at::empty_like(A);
  const int64_t count = A.size(0), n = A.size(1);
  nn::dispatch_real(A, [&](auto zero) {
    using T = decltype(zero);
    const T* a = A.const_data_ptr<T>();
    T* y = Y.mutable_data_ptr<T>();
    at::parallel_for(0, count, nn::grain(n * n * 8), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) invert_kernel(a + i * n * n, y + i * n * n, n);
    });
  });
  return Y;
}

struct SolveUnitLower : torch::autograd::Function<SolveUnitLower> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& A, const at::Tensor& R) {
    const at::Tensor inverse = inverse_of(A.contiguous()), X = at::bmm(inverse, R);
    ctx->save_for_backward({inverse, X});
    return X;
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dR = at::bmm(saved[0].transpose(1, 2), gradients[0]);
    return {at::tril(at::bmm(dR, saved[1].transpose(1, 2)).neg_(), -1), dR};
  }
};

}  // namespace

at::Tensor solve_unit_lower(const at::Tensor& A, const at::Tensor& R) {
  return nn::fusable(A) ? SolveUnitLower::apply(A, R) : solve_unit_lower_reference(A, R);
}

at::Tensor solve_unit_lower_reference(const at::Tensor& A, const at::Tensor& R) {
  return at::linalg_solve_triangular(A, R, false, true, true);
}

}  // namespace mneme::memory
