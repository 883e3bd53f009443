// The recurrence of every memory with a linear state (GLA, DeltaNet and its gated kin, Kimi Delta Attention, Comba, RWKV-7, EDA, …):
// a diagonal decay, one erased direction, one write per token.
//
//   S_t = diag(a_t) S_{t−1} − d_t (e_tᵀ S_{t−1}) + k_t u_tᵀ             a = exp(log_decay) ≤ 1
//   y_t = S_tᵀ q_t,  or S_{t−1}ᵀ q_t with read_before
//
// e addresses the state before the decay: a rule that erases from the decayed state passes a ⊙ e. Gated DeltaNet: e = a β k, d = k,
// u = β v. RWKV-7: e = k̂, d = â k̂. GLA: no e.
//
// Shapes: B rows, H heads, T tokens, K key width, V value width. What is the same for all rows or heads may have size 1 there.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::memory {

struct LinearRecurrence {
  at::Tensor query, write_key;        ///< q, k [B,H,T,K]
  at::Tensor write_value;             ///< u [B,H,T,V]
  at::Tensor log_decay = {};          ///< ≤ 0, [B,H,T,1] or per key channel [B,H,T,K]; undefined = no decay
  at::Tensor erase = {}, along = {};  ///< e, d [B,H,T,K]; e undefined = nothing is erased; d undefined = write_key
  bool read_before = false;           ///< reads see S_{t−1}
  int64_t tile = 64;                  ///< never changes results
};

/// Reads [B,H,T,V]; `state` [B,H,K,V] moves T ≥ 0 tokens on. Differentiable with respect to every tensor.
at::Tensor linear_recurrence_reference(const LinearRecurrence& call, at::Tensor& state);  ///< the loop over tokens: the definition
at::Tensor linear_recurrence_chunked(const LinearRecurrence& call, at::Tensor& state);    ///< tiles of matrix products

}  // namespace mneme::memory
