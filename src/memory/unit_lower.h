// Batched systems with a unit lower triangular matrix: (I + A) X = R, A strictly lower.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

/// A [N,C,C], of which only the part below the diagonal is read; R [N,C,M] → X [N,C,M]. Differentiable.
/// The inverse is formed once per matrix by substitution and applied as a matrix product: small triangular solves of BLAS
/// libraries reach a fraction of their products' speed (here 5 times less), and the backward pass needs the inverse again.
at::Tensor solve_unit_lower(const at::Tensor& A, const at::Tensor& R);
at::Tensor solve_unit_lower_reference(const at::Tensor& A, const at::Tensor& R);

}  // namespace mneme::memory
