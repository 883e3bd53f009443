// mneme bench model: training tokens/s of every kind of block against length, full attention beside.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <optional>

#include "base/text.h"
#include "benchmarks/bench.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "nn/attention.h"

namespace mneme {
namespace {

constexpr int64_t kVocab = 256, kBatchTokens = 4096;
const std::string kFull = "transformer, full attention", kByLibTorch = " by LibTorch";
const std::vector<std::string> kLengths{"256", "1024", "4096"};

struct Arm {
  std::string name;
  ModelOptions model;
  MemoryOptions memory;
  bool library_attention = false;
};

/// One layer of width 256 without feed-forward: what a layer of each kind costs, and little else.
Arm make_arm(const std::string& kind, const std::string& attention) {
  Arm arm{kind, {}, {}};
  arm.model.kind = kind;
  arm.model.layers = 1, arm.model.width = 256, arm.model.heads = 4, arm.model.ffn = "none";
  arm.model.attention = attention, arm.model.window = 128;
  if (kind == "mac") set_own(arm.model, "segment", "128");
  arm.memory.kind = "neural_mlp";
  arm.memory.heads = 4, arm.memory.refresh = 64;
  set_own(arm.memory, "expansion", "2");
  if (kind == "titans_pytorch") set_own(arm.model, "expansion", "2");
  if (kind == "transformer") arm.name += ", " + attention + " attention";
  return arm;
}

std::vector<Arm> arms(const std::vector<std::string>& wanted) {
  const std::vector<std::string> known = BlockRegistry::instance().names();
  for (const std::string& kind : wanted)
    if (std::find(known.begin(), known.end(), kind) == known.end())
      throw UsageError(fmt::format("--kernels {}: no such kind of block{}", kind, did_you_mean(kind, known)));
  std::vector<Arm> result;
  for (const std::string& kind : wanted.empty() ? known : wanted) {
    result.push_back(make_arm(kind, kind == "transformer" ? "full" : "window"));
    if (kind != "transformer") continue;
    result.push_back(result.back());
    result.back().name += kByLibTorch, result.back().library_attention = true;
    result.push_back(make_arm(kind, "window"));
  }
  return result;
}

int64_t parse_length(const std::string& text) {
  int64_t length = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || *end || length < 1)
    throw UsageError("--shapes " + text + ": bench model takes lengths, e.g. --shapes 1024,4096");
  return length;
}

/// One training step of an arm on its own tokens.
std::function<void()> training_step(const Arm& arm, std::shared_ptr<SequenceModel> model, int64_t rows, int64_t length) {
  const at::Tensor tokens = at::randint(kVocab, {rows, length}, at::kLong), targets = at::randint(kVocab, {rows * length}, at::kLong);
  return [=, library = arm.library_attention] {
    std::optional<nn::LibraryFullAttention> by_library;
    if (library) by_library.emplace();
    State state;
    ForwardContext context;
    const at::Tensor loss = at::cross_entropy_loss(model->forward(tokens, state, context).view({rows * length, kVocab}), targets);
    torch::autograd::grad({loss}, model->parameters(), {}, false, false, true);
  };
}

}  // namespace

BenchResult bench_model(const BenchOptions& options) {
  BenchResult result{
      {{"model", "1 layer, width 256, 4 heads × 64, window 128; memory neural_mlp, expansion 2, refresh 64; forward and backward"},
       {"of_full", "speed of the block ÷ that of full attention, ours and by LibTorch: median over turns"}},
      BenchTable({"block", "tokens", "rows", "parameters", "ms", "train_tokens_per_s", "of_full", "of_full_by_libtorch", "busy", "peak_mib"})};
  std::vector<int64_t> lengths;
  for (const std::string& text : options.shapes.empty() ? kLengths : options.shapes) lengths.push_back(parse_length(text));
  at::manual_seed(1);
  const std::vector<Arm> all = arms(options.kernels);
  for (const int64_t length : lengths) {
    const int64_t rows = std::max<int64_t>(1, kBatchTokens / length);
    std::vector<int64_t> parameters;
    std::vector<std::function<void()>> steps;
    for (const Arm& arm : all) {
      auto model = std::make_shared<SequenceModel>(arm.model, arm.memory, SequenceModel::Shape{kVocab, length}, 1);
      parameters.push_back(model->parameter_count());
      steps.push_back(training_step(arm, model, rows, length));
    }
    if (options.progress) options.progress(fmt::format("{} tokens", length));
    const std::vector<BenchTime> times = measure_in_turns(options.repeats, options.seconds, steps);
    auto of = [&](const std::string& name, const BenchTime& time) {
      for (size_t i = 0; i < all.size(); ++i)
        if (all[i].name == name) return speed_ratio(times[i], time);
      return std::nan("");
    };
    for (size_t i = 0; i < all.size(); ++i) {
      const BenchTime& time = times[i];
      result.table.add({all[i].name, length, rows, parameters[i], time.median_s * 1e3, int64_t(double(rows * length) / time.median_s),
                        of(kFull, time), of(kFull + kByLibTorch, time), time.busy(at::get_num_threads()), time.peak_mib});
    }
  }
  return result;
}

}  // namespace mneme
