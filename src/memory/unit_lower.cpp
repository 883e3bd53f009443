#include "memory/unit_lower.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/dispatch.h"
#include "nn/fused.h"

namespace mneme::memory {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor inverse_of(const at::Tensor& A) {
  at::Tensor Y = at::empty_like(A);
  const int64_t count = A.size(0), n = A.size(1);
  nn::dispatch_real(A, [&](auto zero) {
    using T = decltype(zero);
    const T* a = A.const_data_ptr<T>();
    T* y = Y.mutable_data_ptr<T>();
    at::parallel_for(0, count, nn::grain(n * n * 8), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) kernels::loops<T>().invert_unit_lower(a + i * n * n, y + i * n * n, n);
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
