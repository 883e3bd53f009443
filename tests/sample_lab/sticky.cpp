// A delta rule that can hold on to a row: S = a S + θ k (v − h Sᵀk)ᵀ with its own gate `hold` (h = 1 − hold) and a least value of a.
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

struct StickyOptions : Options {
  double keep = 0.5;
  void describe(OptionVisitor& v) override { v.option("keep", keep, {0, 1}, "what a step keeps at least"); }
};

class Sticky : public memory::RecurrentMemory {
 public:
  explicit Sticky(const MemoryContext& context) : RecurrentMemory(context), keep_(own_options<StickyOptions>(context.options.own).keep) {}
  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "step size", .bias = options_.theta_bias, .writes = true},
            {.name = "alpha", .help = "forgetting", .bias = options_.alpha_bias},
            {.name = "hold", .help = "how much of what is held is not replaced", .bias = -4}};
  }

 private:
  Terms terms(const MemoryInput& in, State&) const override {
    const at::Tensor &theta = in.gate("theta"), kept = 1 - (1 - keep_) * in.gate("alpha");
    return {.query = in.query, .write_key = in.key, .write_value = theta * in.value, .log_decay = kept.log(),
            .erase = kept * theta * (1 - in.gate("hold")) * in.key};
  }
  double keep_;
};

}  // namespace

void register_memory_sticky(MemoryRegistry& registry) {
  registry.add({.name = "sticky",
                .summary = "a delta rule that can hold on to what it has",
                .make = [](const MemoryContext& context) { return std::make_shared<Sticky>(context); },
                .options = [] { return std::make_shared<StickyOptions>(); },
                .check = memory::check_recurrent_rule});
}

}  // namespace mneme
