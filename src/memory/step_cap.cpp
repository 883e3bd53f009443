#include "memory/step_cap.h"

#include <ATen/ATen.h>

namespace mneme {
namespace {

constexpr double kLeastCap = 1e-12;  // below it a step is the cap itself, and its derivative stays finite in fp32

bool forgets(const Gate& gate) { return gate.name == "alpha" || gate.name == "decay"; }

}  // namespace

void check_step_cap(const MemoryOptions& options, const std::vector<Gate>& gates, Problems& problems) {
  bool writes = false, forgetting = false;
  for (const Gate& gate : gates) writes = writes || gate.writes, forgetting = forgetting || forgets(gate);
  if (writes && forgetting) return;
  problems.add("memory.step_cap", std::string("bounds a write gate by a forgetting gate, and memory.kind = ") + options.kind + " has no " +
                                      (writes ? "forgetting gate (alpha or decay)" : "gate that writes") +
                                      (writes && !options.forgetting ? "; set memory.forgetting = true, or leave it out" : "; leave it out"));
}

void cap_steps(const std::vector<Gate>& gates, double r, MemoryInput& input) {
  at::Tensor forgotten;  // 1 − a [B,H,T,n or 1]
  int64_t copies = 1;
  for (const Gate& gate : gates) {
    if (!forgets(gate)) continue;
    const at::Tensor& x = input.gate(gate.name);
    forgotten = gate.name == "alpha" ? x : -x.expm1();
    copies = gate.per == Gate::Per::head ? gate.copies : 1;
    if (gate.per != Gate::Per::head) forgotten = forgotten.amin(3, true);
  }
  for (const Gate& gate : gates) {
    if (!gate.writes) continue;
    at::Tensor& h = input.gates.at(gate.name);
    // A forgetting gate per weight matrix belongs to the write gate of the same matrix.
    const at::Tensor most = (copies == 1 || (gate.per == Gate::Per::head && gate.copies == copies) ? forgotten : forgotten.amin(3, true)) / r;
    h = -most * (-h / most.clamp_min(kLeastCap)).expm1();
  }
}

}  // namespace mneme
