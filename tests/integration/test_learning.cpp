// Every arm can learn: it memorises a handful of rows, which needs its gradients, its optimizer and its state to work.
#include "core/hdf5.h"
#include "tests/support/test.h"
#include "tests/unit/train/train_fixture.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/training_step.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("each arm memorises a tiny set", "[integration]") {
  const std::string name = GENERATE("full", "window", "lmm", "mag", "mag_mlp", "mag_off");
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
  const World world(
      tiny_config(arm(name) + std::vector<std::string>{
                                  "task.kind=file", "task.file.train=" + path, "task.file.validation=" + path,
                                  "task.file.test=" + path, "task.file.vocab=16", "model.width=32", "train.lr=0.01",
                                  "train.steps=150", "train.schedule=constant", "train.weight_decay=0"}));
  AdamW adam(
      named_tensors(*world.model), [&](const std::string& p) { return world.model->decays(p); }, world.config.train);
  TrainingStep step(world.config, *world.task, *world.model, adam);
  for (int64_t i = 0; i < world.config.train.steps; ++i) step.run(i);
  const Evaluation evaluation = evaluate(*world.model, *world.task, world.config, {});
  CHECK(evaluation.settings.at(0).sums.scored == kRows * kScored);
  CHECK(metric_value("accuracy", evaluation.settings.at(0).sums) >= 0.95);
}
