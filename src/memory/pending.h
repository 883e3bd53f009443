// Tokens of an unfinished group. A group is written once it is complete; until then its keys, values and steps wait in the state,
// and each call starts at the running group's first token.
#pragma once

#include "mneme/memory.h"

namespace mneme::memory {

struct Joined {
  MemoryInput input;     ///< the waiting tokens, then the call's
  int64_t waiting = 0;   ///< tokens in front whose reads were given before
};

/// Puts the waiting tokens in front and keeps what will wait after this call. `of_tokens`: the gates that count at every token, not only at
/// a group's last one; they wait too.
Joined join_pending(const MemoryInput& input, State& state, int64_t group, const std::vector<std::string>& of_tokens = {"theta"});

}  // namespace mneme::memory
