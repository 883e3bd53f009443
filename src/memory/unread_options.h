// Options of section memory that were set and that nothing reads. What reads one is found, not listed: the layer and a memory's base say
// what they read themselves; of a rule, an option is read where what it declares (gates, parameters, the start of its state) depends on it,
// as the rule is configured. So memory.theta_max is an option of every rule that scales a gate by it, and of no other, and
// memory.alpha_bias none of a rule without forgetting.
#pragma once

#include <map>
#include <set>
#include <string>

#include "mneme/memory.h"

namespace mneme::memory {

/// A problem for each option that is not at its default and that nothing reads; it says with which other choice it would be read, where there
/// is one. `read`: what the base of this kind reads itself; `readers`: what would read an option of that name ("memory.group > 1"), where its
/// declarations do not show it. For rules whose steps depend on options by their gates, parameters and state alone.
void check_unread_options(const MemoryOptions& options, const std::set<std::string>& read, Problems& problems,
                          const std::map<std::string, std::string>& readers = {});

}  // namespace mneme::memory
