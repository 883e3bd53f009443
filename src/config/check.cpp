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

namespace {

// What `auto` stands for where the last matrix has a norm behind it or the loss is not quadratic.
bool refresh_by_default(const MemoryOptions& o) { return o.kind == "neural_mlp" && (o.form == "residual+norm" || o.inner_loss == "huber"); }

// Where the gradient of the last matrix is exact, one linear system gives it: the error must be linear in that matrix.
void check_solvable(const MemoryOptions& o, const std::string& prefix, Problems& problems) {
  const auto needs_refresh = [&](const char* name, const char* why) {
    problems.add(prefix + name, fmt::format("{}; set {}gradient = refresh", why, prefix));
  };
  if (o.gradient == "refresh") return;
  const bool chosen = o.gradient != "auto";
  if (o.inner_loss == "huber" && (chosen || o.kind == "linear")) needs_refresh("inner_loss", "leaves no linear system for exact gradients");
  if (o.kind == "neural_mlp" && o.form == "residual+norm" && chosen) needs_refresh("form", "has a norm behind the last matrix");
  if (o.clip > 0 && (chosen || !refresh_by_default(o))) needs_refresh("clip", "needs every surprise before the first step is taken");
}

void check_group(const MemoryOptions& o, const std::string& prefix, Problems& problems) {
  const bool exact_matrix = o.kind == "linear" && o.gradient != "refresh";
  if (o.group > 1 && !exact_matrix && o.refresh % o.group != 0)
    problems.add(prefix + "group", fmt::format("does not divide {}refresh = {}; allowed: {}", prefix, o.refresh, divisors(o.refresh)));
}

}  // namespace

void MemoryOptions::check(const std::string& prefix, Problems& problems) const {
  const auto of_other_kind = [&](const char* name, const char* other, const char* allowed) {
    problems.add(prefix + name,
                 fmt::format("is for {0}kind = {1}; {0}kind = {2} takes {3}", prefix, other, kind, allowed));
  };
  if (kind == "linear") {
    if (gradient == "exact_last" || gradient == "sweeps") of_other_kind("gradient", "neural_mlp", "auto | exact | refresh");
    if (fast_gain) of_other_kind("fast_gain", "neural_mlp", "false");
  }
  if (kind == "neural_mlp") {
    if (gradient == "exact") of_other_kind("gradient", "linear", "auto | refresh | exact_last | sweeps; gradient = refresh with refresh = 1 is exact");
    if (features != 0) of_other_kind("features", "linear", "0");
    if (fast_gain && form != "residual+norm")
      problems.add(prefix + "fast_gain", fmt::format("needs a norm; set {0}form = residual+norm or {0}fast_gain = false", prefix));
    if (gradient == "sweeps" && kernel == "reference")
      problems.add(prefix + "kernel", fmt::format("has no sweeps: what they converge to is {0}gradient = refresh, {0}refresh = 1", prefix));
  }
  if (gradient_at == "decayed" && (gradient == "refresh" || (gradient == "auto" && refresh_by_default(*this))))
    problems.add(prefix + "gradient_at", fmt::format("is for exact gradients; set {0}gradient_at = previous", prefix));
  if (kind == "linear" || kind == "neural_mlp") {
    check_solvable(*this, prefix, problems);
    check_group(*this, prefix, problems);
  }
}

void TrainOptions::check(const std::string& prefix, Problems& problems) const {
  if (warmup > steps)
    problems.add(prefix + "warmup",
                 fmt::format("is longer than the training; allowed: 0 … {} ({}steps)", steps, prefix));
  if (batch_tokens == 0 && batch % accumulate != 0)
    problems.add(prefix + "accumulate",
                 fmt::format("does not divide {}batch = {}; allowed: {}", prefix, batch, divisors(batch)));
  if (init_from.empty() && !init_sha256.empty())
    problems.add(prefix + "init_sha256", fmt::format("is the digest of weights that {}init_from names; name them, or leave this out", prefix));
}

}  // namespace mneme
