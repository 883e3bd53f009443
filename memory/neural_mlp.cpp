// MLP memory of one to four matrices per head, in the forms of memory/network.h. `feature`, the default: the first matrix
// starts orthogonal × √D, the last at 0, and forgetting leads back to these learned initial weights; each matrix has gates of its
// own, and the lower matrices' step is r times theirs, r = σ(·) per head and matrix, initially 0.1.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/network_memory.h"
#include "nn/init.h"

namespace mneme {
namespace {

using memory::Form;
using memory::Gradient;

int64_t width_at(const MemoryContext& context, int64_t l) {  // channels before matrix l
  const bool outer = l == 0 || l == context.options.depth;
  return outer ? context.head_width : context.options.expansion * context.head_width;
}

at::Tensor initial(const MemoryContext& context, int64_t l) {
  const int64_t in = width_at(context, l), out = width_at(context, l + 1);
  const bool feature = memory::network_of(context.options).form == Form::feature;
  if (feature && l + 1 == context.options.depth) return at::zeros({context.heads, in, out}, at::kFloat);
  std::vector<at::Tensor> heads;
  // Feature rows have length 1, so an orthogonal matrix times √in gives entries of size 1. The other forms start as usual.
  for (int64_t h = 0; h < context.heads; ++h)
    heads.push_back(feature ? nn::orthogonal_weight(in, out, context.generator, std::sqrt(double(in)))
                            : at::empty({in, out}, at::kFloat).normal_(0, 1 / std::sqrt(double(in)), context.generator));
  return at::stack(heads);
}

std::vector<at::Tensor> initial(const MemoryContext& context) {
  std::vector<at::Tensor> matrices;
  for (int64_t l = 0; l < context.options.depth; ++l) matrices.push_back(initial(context, l));
  return matrices;
}

// A norm behind the last matrix, or a loss that is not quadratic, leaves nothing to solve.
Gradient default_gradient(const MemoryOptions& options) {
  return options.form == "residual+norm" || options.inner_loss == "huber" ? Gradient::refresh : Gradient::exact_last;
}

class MlpMemory : public memory::NetworkMemory {
 public:
  explicit MlpMemory(const MemoryContext& context)
      : NetworkMemory(context, memory::network_of(context.options), initial(context), default_gradient(context.options),
                      context.options.retention_target != "zero") {}
};

}  // namespace

void register_memory_neural_mlp(MemoryRegistry& registry) {
  registry.add({"neural_mlp", "an MLP of one to four layers per head, by default with residual: M(k) = k + unit(gelu(k W1)) W2",
                [](const MemoryContext& context) { return std::make_shared<MlpMemory>(context); }});
}

}  // namespace mneme
