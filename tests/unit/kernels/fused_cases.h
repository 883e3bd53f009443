// What the tests of the fused kernels share: the guard of one step, and runs on every instruction set.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/network.h"
#include "mneme/errors.h"
#include "tests/support/poisoned.h"
#include "tests/support/tensors.h"

namespace mneme::test {

namespace kernels = mneme::kernels;
using Tensors = std::vector<at::Tensor>;

inline at::Tensor unit_rows(const at::Tensor& x) { return x / x.norm(2, -1, true); }
inline at::Tensor column(const at::Tensor& x, int64_t t) { return x.narrow(1, t, 1).unsqueeze(2); }
inline at::Tensor single(const at::Tensor& x) { return x.to(at::kFloat); }

/// What a loop has as [N,…], as the kernels have it: [N,1,…] in fp32; gates [N,T] of fast weights side by side.
inline at::Tensor one_head(const at::Tensor& x) { return single(x).unsqueeze(1); }
inline Tensors one_head(Tensors list) {
  for (at::Tensor& x : list) x = one_head(x);
  return list;
}
inline at::Tensor gates(const Tensors& of_layers) { return one_head(at::stack(of_layers, 2)); }

// A step as the guard leaves it; `load`, undefined at a refresh point, is Σ θ' AᵀA of what the interval has wanted to write.
inline at::Tensor guarded(at::Tensor& load, const at::Tensor& A, const at::Tensor& theta, const at::Tensor& eta, double curvature,
                          double limit) {
  const at::Tensor wanted = curvature * (eta.defined() ? theta / (1 - eta) : theta), At = A.transpose(1, 2), square = at::bmm(A, At);
  const at::Tensor before = load.defined() ? at::bmm(at::bmm(A, load), At) / square : at::zeros_like(square);
  const at::Tensor more = wanted * at::bmm(At, A);
  load = load.defined() ? load + more : more;
  return theta * ((limit - before).clamp_min(0) / (wanted * square)).clamp_max(1);
}

/// Outputs of kernel(x, c) have the same bits when states are kept for a backward pass.
template <typename Kernel, typename Case>
void require_same_bits(const Kernel& kernel, Tensors x, const Case& c) {
  const Tensors plain = kernel(x, c);
  for (at::Tensor& t : x) t.requires_grad_();
  const Tensors kept = kernel(x, c);
  for (size_t i = 0; i < plain.size(); ++i) REQUIRE(at::equal(kept[i], plain[i]));
}

/// check() with each instruction set this machine has; Poisoned brings back the one in use before.
template <typename Check>
void on_every_engine(const Check& check) {
  for (const char* name : {"generic", "avx2", "avx512"}) {
    if (!kernels::use_engine(name)) continue;
    REQUIRE(std::string(kernels::engine().name) == name);
    check();
  }
}

}  // namespace mneme::test
