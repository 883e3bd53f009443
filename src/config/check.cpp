// Rules between options of one section. Rules across sections: cross_check in resolve.cpp.
#include <fmt/format.h>

#include <set>

#include "config/config.h"
#include "base/text.h"

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

void TrainOptions::check(const std::string& prefix, Problems& problems) const {
  if (warmup > steps)
    problems.add(prefix + "warmup",
                 fmt::format("is longer than the training; allowed: 0 … {} ({}steps)", steps, prefix));
  if (penalty_full < penalty_from)
    problems.add(prefix + "penalty_full", fmt::format("comes before {}penalty_from = {}; set it to {} … 1", prefix, penalty_from, penalty_from));
  if (batch_tokens == 0 && batch % accumulate != 0)
    problems.add(prefix + "accumulate",
                 fmt::format("does not divide {}batch = {}; allowed: {}", prefix, batch, divisors(batch)));
  if (init_from.empty() && !init_sha256.empty())
    problems.add(prefix + "init_sha256", fmt::format("is the digest of weights that {}init_from names; name them, or leave this out", prefix));
}

}  // namespace mneme
