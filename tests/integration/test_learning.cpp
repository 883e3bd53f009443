// Every arm can learn: it memorises a handful of rows, which needs its gradients, its optimizer and its state to work.
#include <cmath>

#include "mneme/random.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "train/training_step.h"

using namespace mneme;
using namespace mneme::test;

namespace {

/// The model of this config after its training steps, on its test rows.
EvalSums trained(const Config& made) {
  const World world(made);
  AdamW adam(
      named_tensors(*world.model), [&](const std::string& p) { return world.model->decays(p); }, world.config.train);
  TrainingStep step(world.config, *world.task, *world.model, adam);
  for (int64_t i = 0; i < world.config.train.steps; ++i) step.run(i);
  return evaluate(*world.model, *world.task, world.config, {}).settings.at(0).sums;
}

constexpr int64_t kKeys = 8, kValues = 8, kPairs = 4, kFiller = 16;

/// Pairs, filler, then a key: `k v k v k v k v f … f k`. Its value is drawn without regard to all that stands near it, and every
/// value is asked equally often.
std::string far_pairs(int64_t rows, uint64_t seed) {
  Random random(seed, "far pairs");
  std::string lines;
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<int64_t> keys = random.distinct(kPairs, kKeys);
    std::vector<int64_t> tokens;
    const auto asked = static_cast<size_t>(random.between(0, kPairs - 1));
    const int64_t answer = kKeys + row % kValues;
    for (size_t i = 0; i < kPairs; ++i) {
      tokens.push_back(keys[i]);
      tokens.push_back(i == asked ? answer : random.between(kKeys, kKeys + kValues - 1));
    }
    for (int64_t i = 0; i < kFiller; ++i) tokens.push_back(kKeys + kValues + random.between(0, 3));
    tokens.push_back(keys[asked]);
    std::string list, targets;
    for (size_t t = 0; t < tokens.size(); ++t) {
      const bool last = t + 1 == tokens.size();
      list += std::to_string(tokens[t]) + (last ? "" : ", ");
      targets += last ? std::to_string(answer) : "-1, ";
    }
    lines += "{\"tokens\": [" + list + "], \"targets\": [" + targets + "]}\n";
  }
  return lines;
}

}  // namespace

TEST_CASE("each arm memorises a tiny set", "[integration]") {
  const std::string name = GENERATE("full", "full_nope", "window", "lmm", "mag", "mag_mlp", "mag_off");
  CAPTURE(name);
  TemporaryFolder folder;
  torch::manual_seed(11);
  constexpr int64_t kRows = 8, kLength = 24, kScored = 6;
  std::string lines;
  for (int64_t row = 0; row < kRows; ++row) {
    const auto list = [](int64_t unscored) {
      std::string text;
      for (int64_t t = 0; t < kLength; ++t) {
        if (t > 0) text += ',';
        text += std::to_string(t < unscored ? -1 : at::randint(0, 16, {1}).item<int64_t>());
      }
      return text;
    };
    lines += "{\"tokens\": [" + list(0) + "], \"targets\": [" + list(kLength - kScored) + "]}\n";
  }
  const std::string path = folder.path() + "/rows.jsonl";
  overwrite(path, lines);
  const EvalSums sums = trained(
      tiny_config(arm(name) + std::vector<std::string>{
                                  "task.kind=file", "task.file.train=" + path, "task.file.validation=" + path,
                                  "task.file.test=" + path, "task.file.vocab=16", "model.width=32", "train.lr=0.01",
                                  "train.steps=150", "train.schedule=constant", "train.weight_decay=0"}));
  CHECK(sums.scored == kRows * kScored);
  CHECK(Metric::accuracy.value(sums) >= 0.95);
}

// One layer: its window of 4 and its convolution of 4 taps end within the filler.
TEST_CASE("beyond the window the memory answers, and without it the same model is at chance", "[integration]") {
  const std::string kind = GENERATE("linear", "neural_mlp");
  CAPTURE(kind);
  TemporaryFolder folder;
  constexpr int64_t kRows = 512;
  overwrite(folder.path() + "/train.jsonl", far_pairs(4096, 1));
  overwrite(folder.path() + "/test.jsonl", far_pairs(kRows, 2));
  const auto accuracy = [&](const std::string& off) {
    const EvalSums sums = trained(tiny_config(
        arm("mag") + std::vector<std::string>{"memory.kind=" + kind, "memory.off=" + off, "model.layers=1", "model.width=32", "model.heads=2",
                                              "model.window=4", "task.kind=file", "task.file.train=" + folder.path() + "/train.jsonl",
                                              "task.file.test=" + folder.path() + "/test.jsonl", "task.file.vocab=20", "train.steps=200",
                                              "train.batch=32", "train.warmup=10", "train.lr=0.01", "eval.samples=512"}));
    CHECK(sums.scored == kRows);
    return Metric::accuracy.value(sums);
  };
  const double chance = 1.0 / kValues, sd = std::sqrt(chance * (1 - chance) / kRows);
  CHECK(accuracy("false") >= 0.9);
  CHECK(std::abs(accuracy("true") - chance) <= 3 * sd);
}
