// Options of section memory that were set and that nothing reads. What reads one is found, not listed: the layer and a memory's base say
// what they read themselves; of a rule, an option is read where what it declares (gates, parameters, the start of its state) depends on it,
// as the rule is configured or as it is by default. So memory.theta_max is an option of every rule that scales a gate by it, and of no other.
#pragma once

#include <set>
#include <string>

#include "mneme/memory.h"

namespace mneme::memory {

/// A problem for each option that is not at its default and that nothing reads. `read`: what the base of this kind reads itself. For rules
/// whose steps depend on options by their gates, parameters and state alone.
void check_unread_options(const MemoryOptions& options, const std::set<std::string>& read, Problems& problems);

}  // namespace mneme::memory
