// The ways to compute a memory's calls as a table, asked in order: the first that memory.kernel lets and that takes the call runs.
//
//   fused         hand-written CPU kernel (src/kernels/)
//   linear tiles  tiles of one matrix with exact gradients, solved for all tiles at once (network_kernels.h)
//   chunked       tiles of matrix products (network_kernels.h, linear_recurrence.h)
//   reference     the loop over tokens: the definition
//
// A memory has some of them. memory.kernel names the first it may be: `chunked` passes over what stands before the tiles, `reference` over
// everything but the loop; `auto` and `fused` over nothing.
#pragma once

#include <string>
#include <vector>

#include "mneme/memory.h"

namespace mneme::memory {

/// `Rule`: what a memory is, whatever the call. `Run`: the type of the function that computes one.
template <class Rule, class Run>
struct Kernel {
  const char *name, *summary;
  const char* option;  ///< the memory.kernel that asks for it
  std::string (*why_not)(const Rule& rule, const CallShape& call);  ///< empty: it takes the call
  Run* run;
};

template <class Rule, class Run>
using KernelTable = std::vector<Kernel<Rule, Run>>;

/// Takes every call.
template <class Rule>
std::string always(const Rule&, const CallShape&) {
  return {};
}

/// Every kernel of the table and why it is not the one; memory.kernel = `asked`.
template <class Rule, class Run>
std::vector<KernelFit> fits(const KernelTable<Rule, Run>& table, const std::string& asked, const Rule& rule, const CallShape& call) {
  std::vector<KernelFit> all;
  bool before = false;  // what memory.kernel asks for is still to come
  for (const Kernel<Rule, Run>& kernel : table) before = before || kernel.option == asked;
  for (const Kernel<Rule, Run>& kernel : table) {
    before = before && kernel.option != asked;
    all.push_back({kernel.name, kernel.summary, kernel.option, before ? "memory.kernel = " + asked : kernel.why_not(rule, call)});
  }
  return all;
}

/// ConfigError, with every reason, where none takes the call.
template <class Rule, class Run>
const Kernel<Rule, Run>& choose(const KernelTable<Rule, Run>& table, const std::string& asked, const Rule& rule, const CallShape& call) {
  const std::vector<KernelFit> all = fits(table, asked, rule, call);
  std::string reasons;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].why_not.empty()) return table[i];
    reasons += (reasons.empty() ? "" : "; ") + all[i].name + ": " + all[i].why_not;
  }
  throw ConfigError("memory.kernel = " + asked + ": no kernel of this memory takes the call (" + reasons + "); set memory.kernel = auto");
}

/// The call that an input is, as far as a kernel depends on it.
CallShape shape_of(const MemoryInput& input);

/// Of a memory that is a loop over tokens and nothing else.
std::vector<KernelFit> loop_kernel(const MemoryOptions& options, const CallShape& call);

}  // namespace mneme::memory
