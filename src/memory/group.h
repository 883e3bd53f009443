// Groups of memory.group tokens, which form one step of the recurrence (network_kernels.h): their α and η stand at their last token. A group is written
// once it is complete; the tokens of an unfinished one wait in the state, and each call starts at the running group's first token.
#pragma once

#include <string>
#include <vector>

#include "mneme/memory.h"

namespace mneme::memory {

/// At each token, along `dim`, what stands at the last token of its group. Tokens start at a group's first one; of an unfinished
/// group, which is not written, the last token there is.
at::Tensor at_group_end(const at::Tensor& gates, int64_t dim, int64_t group);

/// rows [B,T,n], weight [B,T,n] ≥ 0 → [B,T,n]: at a group's last token Σ weight · row / Σ weight over its tokens; elsewhere what this
/// call knows of the token's group. `state` holds the sums of an unfinished group; its position counts the tokens.
at::Tensor group_average(const at::Tensor& rows, const at::Tensor& weight, int64_t group, State& state);

struct Joined {
  MemoryInput input;     ///< the waiting tokens, then the call's
  int64_t waiting = 0;   ///< tokens in front whose reads were given before
};

/// Puts the waiting tokens in front and keeps what will wait after this call. `of_tokens`: the gates that count at every token, not only at
/// a group's last one; they wait too.
Joined join_pending(const MemoryInput& input, State& state, int64_t group, const std::vector<std::string>& of_tokens = {"theta"});

}  // namespace mneme::memory
