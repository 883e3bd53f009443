// Decay towards the learned initial weights: W_t = (1 − α_t) W_{t−1} + α_t W_0 − step. A deep network that decays to 0 ends where every
// gradient is 0.
#include <ATen/ATen.h>

#include "memory/rule/retention.h"

namespace mneme {
namespace {

class InitialRetention : public rule::Retention {
 public:
  bool returns_to_start() const override { return true; }
  at::Tensor next(const at::Tensor& W, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor& initial) const override {
    return alpha.defined() ? kept(W, alpha) + alpha * initial - step : W - step;
  }
};

}  // namespace

void register_retention_initial(rule::RetentionRegistry& registry) {
  registry.add({.name = "initial",
                .summary = "weights decay to their learned start",
                .make = [](const rule::Context&) { return std::make_shared<InitialRetention>(); },
                .check = [](const MemoryOptions& options, Problems& problems) {
                  if (!options.forgetting)
                    problems.add("memory.forgetting", "retention = initial is where forgetting leads; set memory.forgetting = true, or choose retention = l2");
                }});
}

}  // namespace mneme
