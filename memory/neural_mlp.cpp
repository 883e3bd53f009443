// MLP memory of one to four matrices per head, in the forms of memory/network.h. `feature`, the default: the first matrix
// starts orthogonal × √D, the last at 0, and forgetting leads back to these learned initial weights; each matrix has gates of its
// own, and the lower matrices' step is r times theirs, r = σ(·) per head and matrix, initially 0.1; or they stay as they start.
#include <ATen/ATen.h>

#include <cmath>

#include "memory/network_memory.h"
#include "nn/init.h"

namespace mneme {
namespace {

using memory::Form;
using memory::Gradient;

struct MlpOptions : Options {
  int64_t depth = 2;
  int64_t expansion = 1;
  std::string form = "feature";
  bool fast_gain = false;
  std::string activation = "gelu";
  int64_t sweeps = 1;
  bool gate_per_matrix = true;
  std::string lower = "learned";
  double lower_step = 0.1;
  void describe(OptionVisitor& v) override {
    v.option("depth", depth, {1, 4}, "weight matrices");
    v.option("expansion", expansion, {1, 64}, "hidden width as a multiple of head_width");
    v.option("form", form, {"feature", "plain", "residual+norm"}, "k + unit-length features, a bare MLP, k + LayerNorm(MLP)");
    v.option("fast_gain", fast_gain, "of residual+norm: the norm's gain learns at test time too");
    v.option("activation", activation, {"gelu", "gelu_sigmoid"}, "exact, or x σ(1.702 x)");
    v.option("sweeps", sweeps, {1, 16}, "repetitions of the solve with memory.gradient = sweeps");
    v.option("gate_per_matrix", gate_per_matrix, "each weight matrix has gates of its own");
    v.option("lower", lower, {"learned", "frozen"}, "whether the matrices below the last learn at test time, or stay as they start");
    v.option("lower_step", lower_step, {0.001, 0.999}, "of form = feature: share of the step that they take at first");
  }
  void check(const std::string& prefix, Problems& problems) const override {
    if (fast_gain && form != "residual+norm")
      problems.add(prefix + "fast_gain", "needs a norm; set " + prefix + "form = residual+norm or " + prefix + "fast_gain = false");
    if (lower == "frozen" && depth == 1)
      problems.add(prefix + "lower", "depth = 1 has no matrix below the last; set " + prefix + "depth to at least 2, or leave it out");
    if (lower_step != MlpOptions().lower_step && !problems.stored && (lower == "frozen" || form != "feature" || depth == 1))
      problems.add(prefix + "lower_step", "is read with lower = learned, form = feature and depth > 1 only; leave it out");
  }
};

// A norm behind the last matrix, or a loss that is not quadratic, leaves nothing to solve.
bool refresh_by_default(const MlpOptions& own, const MemoryOptions& o) { return own.form == "residual+norm" || o.inner_loss == "huber"; }

void check_mlp(const MemoryOptions& o, Problems& problems) {
  const MlpOptions& own = own_options<MlpOptions>(o.own);
  if (o.gradient == "exact")
    problems.add("memory.gradient", "memory.kind = neural_mlp takes auto | refresh | exact_last | sweeps; gradient = refresh with refresh = 1 is exact");
  if (o.gradient == "sweeps" && o.kernel == "reference")
    problems.add("memory.kernel", "has no sweeps: what they converge to is memory.gradient = refresh, memory.refresh = 1");
  if (own.form == "residual+norm" && o.gradient != "auto" && o.gradient != "refresh")
    problems.add("memory.neural_mlp.form", "has a norm behind the last matrix; set memory.gradient = refresh");
  if (o.expand_v != 1) problems.add("memory.expand_v", "memory.kind = neural_mlp adds its output to its key: allowed: 1");
  memory::check_network_rule(o, false, refresh_by_default(own, o), problems);
}

memory::Network network(const MlpOptions& own, const MemoryOptions& o) {
  memory::Network net = memory::matrix_of(o);
  net.depth = own.depth;
  net.form = own.form == "plain" ? Form::plain : own.form == "feature" ? Form::feature : Form::residual_norm;
  net.activation = own.activation == "gelu" ? memory::Activation::gelu : memory::Activation::gelu_sigmoid;
  return net;
}

at::Tensor initial(const MemoryContext& context, const MlpOptions& own, int64_t l) {
  auto width_at = [&](int64_t layer) { return layer == 0 || layer == own.depth ? context.head_width : own.expansion * context.head_width; };
  const int64_t in = width_at(l), out = width_at(l + 1);
  const bool feature = own.form == "feature";
  if (feature && l + 1 == own.depth) return at::zeros({context.heads, in, out}, at::kFloat);
  std::vector<at::Tensor> heads;
  // Feature rows have length 1, so an orthogonal matrix times √in gives entries of size 1. The other forms start as usual.
  for (int64_t h = 0; h < context.heads; ++h)
    heads.push_back(feature ? nn::orthogonal_weight(in, out, context.generator, std::sqrt(double(in)))
                            : at::empty({in, out}, at::kFloat).normal_(0, 1 / std::sqrt(double(in)), context.generator));
  return at::stack(heads);
}

memory::NetworkSettings settings(const MemoryContext& context) {
  const MlpOptions& own = own_options<MlpOptions>(context.options.own);
  memory::NetworkSettings s;
  s.net = network(own, context.options);
  for (int64_t l = 0; l < own.depth; ++l) s.matrices.push_back(initial(context, own, l));
  s.default_gradient = refresh_by_default(own, context.options) ? Gradient::refresh : Gradient::exact_last;
  s.retain_initial = context.options.retention_target != "zero";
  s.fast_gain = own.fast_gain, s.gate_per_matrix = own.gate_per_matrix, s.sweeps = own.sweeps;
  s.lower_frozen = own.lower == "frozen", s.lower_step = own.lower_step;
  return s;
}

class MlpMemory : public memory::NetworkMemory {
 public:
  explicit MlpMemory(const MemoryContext& context) : NetworkMemory(context, settings(context)) {}
};

}  // namespace

void register_memory_neural_mlp(MemoryRegistry& registry) {
  registry.add({"neural_mlp", "an MLP of one to four layers per head, by default with residual: M(k) = k + unit(gelu(k W1)) W2",
                [](const MemoryContext& context) { return std::make_shared<MlpMemory>(context); },
                [] { return std::make_shared<MlpOptions>(); }, check_mlp, {"sweeps"}});
}

}  // namespace mneme
