// Rules between options of one section. Rules across sections: cross_check in resolve.cpp.
#include <set>

#include "config/config.h"
#include "core/text.h"

namespace mneme {
namespace {

std::string divisors(int64_t number) {
  std::vector<std::string> list;
  for (int64_t i = 1; i <= number && list.size() < 16; ++i)
    if (number % i == 0) list.push_back(std::to_string(i));
  return join(list, ", ");
}

void check_attention(const ModelOptions& model, const std::string& prefix, Problems& problems) {
  if (model.width % model.heads != 0) {
    problems.add(prefix + "heads", "does not divide " + prefix + "width = " + std::to_string(model.width) +
                                       "; allowed: " + divisors(model.width));
    return;
  }
  if (model.kv_heads > 0 && model.heads % model.kv_heads != 0)
    problems.add(prefix + "kv_heads", "does not divide " + prefix + "heads = " + std::to_string(model.heads) +
                                          "; allowed: 0, " + divisors(model.heads));
  const int64_t head_width = model.width / model.heads;
  if (model.positions == "rope" && model.kind != "lmm" && head_width % 2 != 0)
    problems.add(prefix + "heads", "makes heads of width " + std::to_string(head_width) + " (" + prefix + "width / " + prefix +
                                       "heads), which " + prefix + "positions = rope needs even");
}

}  // namespace

void ModelOptions::check(const std::string& prefix, Problems& problems) const {
  check_attention(*this, prefix, problems);
  if (conv_init == "shift" && conv_width == 1)
    problems.add(prefix + "conv_width", "has no previous token for " + prefix + "conv_init = shift; allowed: 0 (none) or ≥ 2");
  std::set<int64_t> seen;
  for (const int64_t layer : memory_layers) {
    if (layer >= layers)
      problems.add(prefix + "memory_layers", "has layer " + std::to_string(layer) + ", but " + prefix + "layers = " +
                                                 std::to_string(layers) + "; allowed: 0 … " + std::to_string(layers - 1));
    if (!seen.insert(layer).second)
      problems.add(prefix + "memory_layers", "has layer " + std::to_string(layer) + " twice; keep one");
  }
}

void MemoryOptions::check(const std::string& prefix, Problems& problems) const {
  const auto not_yet = [&](const std::string& name, const std::string& allowed) {
    problems.add(prefix + name, "is not supported yet; allowed: " + allowed);
  };
  if (group != 1) not_yet("group", "1");
  if (read != "after") not_yet("read", "after");
  if (gradient == "sweeps") not_yet("gradient", kind == "linear" ? "auto | exact | refresh" : "auto | refresh | exact_last");
  if (kind == "linear" && gradient == "exact_last")
    problems.add(prefix + "gradient", "is for " + prefix + "kind = neural_mlp; a linear memory takes auto | exact | refresh");
  if (kind == "neural_mlp") {
    if (gradient == "exact")
      problems.add(prefix + "gradient", "is for " + prefix + "kind = linear; neural_mlp takes auto | refresh | exact_last");
    if (depth != 2) not_yet("depth", "2");
    if (form != "feature") not_yet("form", "feature");
    if (features != 0)
      problems.add(prefix + "features", "is for " + prefix + "kind = linear; a neural_mlp takes 0 (its features are fast weights)");
  }
}

void TrainOptions::check(const std::string& prefix, Problems& problems) const {
  if (warmup > steps)
    problems.add(prefix + "warmup", "is longer than the training; allowed: 0 … " + std::to_string(steps) + " (" + prefix + "steps)");
  if (batch_tokens == 0 && batch % accumulate != 0)
    problems.add(prefix + "accumulate", "does not divide " + prefix + "batch = " + std::to_string(batch) +
                                            "; allowed: " + divisors(batch));
}

}  // namespace mneme
