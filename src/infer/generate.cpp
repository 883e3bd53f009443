#include "infer/generate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/measure.h"
#include "eval/objective.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

at::Tensor row_of(const int64_t* tokens, int64_t count, at::Device device) {
  at::Tensor row = at::empty({1, count}, at::kLong);
  std::copy(tokens, tokens + count, row.mutable_data_ptr<int64_t>());
  return row.to(device);
}

void check(const std::vector<int64_t>& prompt, int64_t vocab) {
  if (prompt.empty()) throw UsageError("the prompt is empty: a model needs at least one token to go on from");
  for (size_t i = 0; i < prompt.size(); ++i)
    if (prompt[i] < 0 || prompt[i] >= vocab)
      throw DataError(fmt::format("token {} of the prompt is {}, outside this model's vocabulary (0 to {})", i, prompt[i], vocab - 1));
}

}  // namespace

int64_t draw_token(const at::Tensor& logits, const GenerateOptions& options, Random& random) {
  const auto [sorted, order] = logits.to(at::kCPU, at::kDouble).sort(true, 0, true);  // stable: ties by token
  const int64_t* token = order.const_data_ptr<int64_t>();
  if (options.temperature == 0) return token[0];
  const int64_t count = options.top_k > 0 ? std::min(options.top_k, sorted.size(0)) : sorted.size(0);
  const double* value = sorted.const_data_ptr<double>();
  std::vector<double> sum(static_cast<size_t>(count));
  double total = 0;
  for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] = total += std::exp((value[i] - value[0]) / options.temperature);
  const double place = random.uniform() * total;
  const auto found = std::upper_bound(sum.begin(), sum.end() - 1, place);
  return token[found - sum.begin()];
}

std::vector<int64_t> generate(SequenceModel& model, State& state, const std::vector<int64_t>& prompt, const GenerateOptions& options) {
  at::NoGradGuard no_grad;
  require_tokens(model, "mneme generate");
  check(prompt, model.shape().vocab);
  const at::Device device = model.parameters().front().device();
  auto read = [&](const int64_t* tokens, int64_t count) {  // → logits after the last of them
    ForwardContext context;
    const at::Tensor hidden = model.hidden(row_of(tokens, count, device), state, context);
    return model.logits(hidden.select(1, count - 1)).squeeze(0);
  };
  const State start = state.clone();
  std::vector<int64_t> written;
  const auto require_finite = [&](const at::Tensor& logits) {
    if (at::isfinite(logits).all().item<bool>()) return;
    std::vector<int64_t> all = prompt;
    all.insert(all.end(), written.begin(), written.end());
    const std::string where = where_not_finite(model, row_of(all.data(), static_cast<int64_t>(all.size()), device), start);
    throw DivergedError(fmt::format("there is no token after the first {} of the prompt and what was written: the logits are not finite{}{}", all.size(),
                                    where.empty() ? "" : "; ", where));
  };
  at::Tensor logits;
  const auto length = static_cast<int64_t>(prompt.size());
  for (int64_t first = 0; first < length; first += options.segment)
    logits = read(prompt.data() + first, std::min(options.segment, length - first));
  Random random(options.seed, "generate");
  if (options.tokens > 0) require_finite(logits);
  while (static_cast<int64_t>(written.size()) < options.tokens) {
    if (!written.empty()) require_finite(logits = read(&written.back(), 1));
    written.push_back(draw_token(logits, options, random));
    if (options.written) options.written(written.back());
  }
  return written;
}

}  // namespace mneme
