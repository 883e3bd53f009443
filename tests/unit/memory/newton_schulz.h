// NS5 of Muon by hand: five Newton-Schulz steps on S / ‖S‖, for the oracles of rules and of the zoo. [B,H,K,V]
#pragma once

#include "tests/support/tensors.h"

namespace mneme::test {

inline at::Tensor newton_schulz(const at::Tensor& S) {
  at::Tensor X = S / (S.square().sum({2, 3}, true).sqrt() + 1e-7);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor A = X.matmul(X.transpose(2, 3));
    X = 3.4445 * X - 4.7750 * A.matmul(X) + 2.0315 * A.matmul(A).matmul(X);
  }
  return X;
}

}  // namespace mneme::test
