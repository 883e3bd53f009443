// Longhorn (Liu et al., arXiv 2407.14207): the closed-form step of online regression, its erasing kept to the diagonal.
//
//   S_t = diag(1 − ε_t k_t²) S_{t−1} + ε_t k_t v_tᵀ         ε = b / (1 + b kᵀk), b in (0, 1) per head
//
// Nothing else is forgotten: a key channel loses what is written over it.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Longhorn : public memory::RecurrentMemory {
 public:
  explicit Longhorn(const MemoryContext& context) : RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "beta", .help = "importance of a token", .bias = options_.theta_bias, .writes = true}};
  }

 private:
  std::string equation() const override { return "S = diag(1 − ε k²) S + ε k vᵀ,  ε = b / (1 + b kᵀk)"; }
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &b = in.gate("beta"), square = in.key.square(), step = b / (1 + b * square.sum(3, true));
    return {.query = in.query, .write_key = in.key, .write_value = step * in.value, .log_decay = at::log1p(-step * square)};
  }
};

}  // namespace

void register_memory_longhorn(MemoryRegistry& registry) {
  registry.add({.name = "longhorn",
                .summary = "Longhorn: the closed-form step of online regression, a key channel loses what is written over it",
                .make = [](const MemoryContext& context) { return std::make_shared<Longhorn>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
