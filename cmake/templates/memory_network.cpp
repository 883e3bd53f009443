// my_rule: the weights of a network, moved at test time by Titans' rule (arXiv 2501.00663, eqs. 8–15), per head:
//
//   M(k) = k + unit(gelu(k W_1)) W_2
//   S_t = η_t S_{t−1} − θ_t ∇‖M(k_t) − v_t‖²        W_t = (1 − α_t) W_{t−1} + S_t        y_t = M(q_t)
//
// NetworkMemory does the rest: gates θ, α, η, tiles and fused kernels, splits, padding, documents, measurements. Networks there are:
// memory/network.h.
#include <ATen/ATen.h>

#include "memory/network_memory.h"

namespace mneme {
namespace {

struct MyRuleMemoryOptions : Options {
  int64_t expansion = 1;
  void describe(OptionVisitor& v) override { v.option("expansion", expansion, {1, 64}, "hidden width as a multiple of head_width"); }
};

memory::NetworkSettings my_rule_settings(const MemoryContext& context) {
  const int64_t H = context.heads, D = context.head_width, E = D * own_options<MyRuleMemoryOptions>(context.options.own).expansion;
  memory::NetworkSettings s;
  s.net = memory::matrix_of(context.options);  // the inner loss that memory.inner_loss names
  s.net.depth = 2, s.net.form = memory::Form::feature;
  // Learned initial weights: a fresh memory is M(k) = k.
  s.matrices = {at::empty({H, D, E}, at::kFloat).normal_(0, 1, context.generator), at::zeros({H, E, D}, at::kFloat)};
  if (context.options.inner_loss == "huber") s.default_gradient = memory::Gradient::refresh;  // leaves nothing to solve
  s.retain_initial = context.options.retention_target != "zero";
  return s;
}

void check_my_rule(const MemoryOptions& options, Problems& problems) {
  if (options.gradient == "exact" || options.gradient == "sweeps")
    problems.add("memory.gradient", "memory.kind = my_rule takes auto | refresh | exact_last");
  if (options.expand_v != 1) problems.add("memory.expand_v", "memory.kind = my_rule adds its output to its key; allowed: 1");
  memory::check_network_rule(options, false, options.inner_loss == "huber", problems);
}

class MyRuleMemory : public memory::NetworkMemory {
 public:
  explicit MyRuleMemory(const MemoryContext& context) : memory::NetworkMemory(context, my_rule_settings(context)) {}
};

}  // namespace

void register_memory_my_rule(MemoryRegistry& registry) {
  registry.add({.name = "my_rule",
                .summary = "a network of two matrices per head",
                .make = [](const MemoryContext& context) { return std::make_shared<MyRuleMemory>(context); },
                .options = [] { return std::make_shared<MyRuleMemoryOptions>(); },
                .check = check_my_rule});
}

}  // namespace mneme
