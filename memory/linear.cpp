// Linear memory M(k) = k W: one matrix per head (Titans' linear ablation; with exact gradients, the delta rule with
// momentum and forgetting). `memory.features` = n puts a slow, outer-learned feature layer in front: keys and queries
// become unit-length φ(k F) of width n·D, and W is [n·D, D].
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/network_memory.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

using memory::Form;
using memory::Gradient;

memory::Network matrix(const MemoryOptions& options) {
  memory::Network net = memory::network_of(options);
  net.depth = 1, net.form = Form::plain;
  return net;
}

at::Tensor initial(const MemoryContext& context) {
  const int64_t D = context.head_width, E = std::max<int64_t>(context.options.features, 1) * D;
  at::Tensor weights = at::zeros({context.heads, E, D}, at::kFloat);
  if (context.options.init == "random") weights.normal_(0, 1 / std::sqrt(double(E)), context.generator);
  return weights;
}

class LinearMemory : public memory::NetworkMemory {
 public:
  explicit LinearMemory(const MemoryContext& context)
      : NetworkMemory(context, matrix(context.options), {initial(context)}, Gradient::exact_last, context.options.retention_target == "init") {
    const int64_t D = context.head_width, n = context.options.features;
    if (n == 0) return;
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < context.heads; ++h) heads.push_back(nn::orthogonal_weight(D, n * D, context.generator, std::sqrt(double(D))));
    features_ = register_parameter("features", at::stack(heads));
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
                [](const MemoryContext& context) { return std::make_shared<LinearMemory>(context); }});
}

}  // namespace mneme
