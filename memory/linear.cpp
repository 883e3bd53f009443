// Linear memory M(k) = k W: one matrix per head (Titans' linear ablation; with exact gradients, the delta rule with
// momentum and forgetting). `features` = n puts a slow, outer-learned feature layer in front: keys and queries
// become unit-length φ(k F) of width n·D, and W is [n·D, D].
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/network_memory.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

using memory::Gradient;

struct LinearOptions : Options {
  int64_t features = 0;
  std::string init = "zero";
  void describe(OptionVisitor& v) override {
    v.option("features", features, {0, 64}, "keys pass a slow layer of n × head_width first; 0 = none");
    v.option("init", init, {"zero", "random"}, "initial weights, learned");
  }
};

void check_linear(const MemoryOptions& o, Problems& problems) {
  if (o.gradient == "exact_last" || o.gradient == "sweeps") problems.add("memory.gradient", "memory.kind = linear takes auto | exact | refresh");
  memory::check_network_rule(o, true, false, problems);
}

at::Tensor initial(const MemoryContext& context) {
  const LinearOptions& own = own_options<LinearOptions>(context.options.own);
  const int64_t E = std::max<int64_t>(own.features, 1) * context.head_width;
  at::Tensor weights = at::zeros({context.heads, E, context.value_width}, at::kFloat);
  if (own.init == "random") weights.normal_(0, 1 / std::sqrt(double(E)), context.generator);
  return weights;
}

class LinearMemory : public memory::NetworkMemory {
 public:
  explicit LinearMemory(const MemoryContext& context)
      : NetworkMemory(context, {memory::matrix_of(context.options), {initial(context)}, Gradient::exact_last, context.options.retention_target == "init"}) {
    const int64_t D = context.head_width, n = own_options<LinearOptions>(context.options.own).features;
    if (n == 0) return;
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < context.heads; ++h) heads.push_back(nn::orthogonal_weight(D, n * D, context.generator, std::sqrt(double(D))));
    features_ = parameter("features", at::stack(heads), Role::memory_start);
  }

 private:
  at::Tensor features(const at::Tensor& x) const override {
    return features_.defined() ? nn::l2_normalize(at::gelu(at::matmul(x, features_))) : x;
  }

  at::Tensor features_;  // [H,D,n·D]
};

}  // namespace

void register_memory_linear(MemoryRegistry& registry) {
  registry.add({"linear", "one matrix per head: M(k) = k W, exact or refresh gradients, optional slow features",
                [](const MemoryContext& context) { return std::make_shared<LinearMemory>(context); },
                [] { return std::make_shared<LinearOptions>(); }, check_linear});
}

}  // namespace mneme
