// Rules between options of one section. Rules across sections: cross_check in resolve.cpp.
#include <fmt/format.h>

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
    problems.add(prefix + "heads",
                 fmt::format("does not divide {}width = {}; allowed: {}", prefix, model.width, divisors(model.width)));
    return;
  }
  if (model.kv_heads > 0 && model.heads % model.kv_heads != 0)
    problems.add(prefix + "kv_heads", fmt::format("does not divide {}heads = {}; allowed: 0, {}", prefix, model.heads,
                                                  divisors(model.heads)));
  const int64_t head_width = model.width / model.heads;
  if (model.positions == "rope" && model.kind != "lmm" && head_width % 2 != 0)
    problems.add(prefix + "heads", fmt::format("makes heads of width {0} ({1}width / {1}heads); {1}positions = rope "
                                               "needs an even one",
                                               head_width, prefix));
}

}  // namespace

void ModelOptions::check(const std::string& prefix, Problems& problems) const {
  check_attention(*this, prefix, problems);
  if (conv_init == "shift" && conv_width == 1)
    problems.add(prefix + "conv_width",
                 fmt::format("has no previous token for {}conv_init = shift; allowed: 0 (none) or ≥ 2", prefix));
  std::set<int64_t> seen;
  for (const int64_t layer : memory_layers) {
    if (layer >= layers)
      problems.add(prefix + "memory_layers",
                   fmt::format("has layer {}, but {}layers = {}; allowed: 0 … {}", layer, prefix, layers, layers - 1));
    if (!seen.insert(layer).second)
      problems.add(prefix + "memory_layers", fmt::format("has layer {} twice; keep one", layer));
  }
}

void MemoryOptions::check(const std::string& prefix, Problems& problems) const {
  const auto not_yet = [&](const char* name, const char* allowed) {
    problems.add(prefix + name, fmt::format("is not supported yet; allowed: {}", allowed));
  };
  const auto of_other_kind = [&](const char* name, const char* other, const char* allowed) {
    problems.add(prefix + name,
                 fmt::format("is for {0}kind = {1}; {0}kind = {2} takes {3}", prefix, other, kind, allowed));
  };
  constexpr const char* kLinearGradients = "auto | exact | refresh";
  constexpr const char* kMlpGradients = "auto | refresh | exact_last";
  if (group != 1) not_yet("group", "1");
  if (read != "after") not_yet("read", "after");
  if (inner_loss != "l2") not_yet("inner_loss", "l2");
  if (gradient_at != "previous") not_yet("gradient_at", "previous");
  if (clip > 0) not_yet("clip", "0");
  if (keys_per_token != 1) not_yet("keys_per_token", "1");
  if (gradient == "sweeps") not_yet("gradient", kind == "linear" ? kLinearGradients : kMlpGradients);
  if (kind == "linear" && gradient == "exact_last") of_other_kind("gradient", "neural_mlp", kLinearGradients);
  if (kind == "neural_mlp") {
    if (gradient == "exact") of_other_kind("gradient", "linear", kMlpGradients);
    if (features != 0) of_other_kind("features", "linear", "0");
    if (depth != 2) not_yet("depth", "2");
    if (form != "feature") not_yet("form", "feature");
    if (activation != "gelu") not_yet("activation", "gelu");
  }
}

void TrainOptions::check(const std::string& prefix, Problems& problems) const {
  if (warmup > steps)
    problems.add(prefix + "warmup",
                 fmt::format("is longer than the training; allowed: 0 … {} ({}steps)", steps, prefix));
  if (batch_tokens == 0 && batch % accumulate != 0)
    problems.add(prefix + "accumulate",
                 fmt::format("does not divide {}batch = {}; allowed: {}", prefix, batch, divisors(batch)));
}

}  // namespace mneme
