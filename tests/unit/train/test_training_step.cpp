#include <cmath>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/checkpoint.h"
#include "train/training_step.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

struct Steps : World {
  explicit Steps(const std::vector<std::string>& overrides)
      : World(tiny_config(overrides)),
        adam(
            named_tensors(*model), [this](const std::string& name) { return model->decays(name); }, config.train),
        step(config, *task, *model, adam) {}
  double run(int64_t count) {
    double last = 0;
    for (int64_t i = 0; i < count; ++i) last = step.run(i).loss;
    return last;
  }
  AdamW adam;
  TrainingStep step;
};

double largest_difference(const SequenceModel& a, const SequenceModel& b) {
  double largest = 0;
  const NamedTensors left = named_tensors(a), right = named_tensors(b);
  for (size_t i = 0; i < left.size(); ++i)
    largest = std::max(largest, (left[i].second - right[i].second).abs().max().item<double>());
  return largest;
}

}  // namespace

TEST_CASE("a segment as long as the row, or longer, is training on the whole row", "[train]") {
  const std::string name = GENERATE("full", "mag");
  Steps whole(arm(name)), same(arm(name) + std::vector<std::string>{"train.segment=32"}),
      longer(arm(name) + std::vector<std::string>{"train.segment=1000"});
  whole.run(5);
  same.run(5);
  longer.run(5);
  CHECK(largest_difference(*whole.model, *same.model) == 0);
  CHECK(largest_difference(*whole.model, *longer.model) == 0);
}

TEST_CASE("segments carry the state: the loss of a step is that of the whole row", "[train]") {
  const std::string name = GENERATE("full", "window", "lmm", "mag", "mag_mlp");
  const std::vector<std::string> wide{"runtime.dtype=float64", "task.loss=all"};
  Steps whole(arm(name) + wide), cut(arm(name) + wide + std::vector<std::string>{"train.segment=7"});
  CAPTURE(name);
  CHECK(cut.run(1) == Approx(whole.run(1)).epsilon(1e-9));
}

TEST_CASE("micro-batches change the memory that is needed, not the step", "[train]") {
  const std::vector<std::string> base = arm("mag") + std::vector<std::string>{"runtime.dtype=float64"};
  Steps one(base), four(base + std::vector<std::string>{"train.accumulate=4"});
  CHECK(four.run(3) == Approx(one.run(3)).epsilon(1e-6));
  CHECK(largest_difference(*one.model, *four.model) < 1e-5);  // the clip factor passes through fp32
}

TEST_CASE("weights that are not finite end in an error that names the step", "[train]") {
  Steps steps(arm("full"));
  steps.run(2);
  named_tensors(*steps.model)[0].second.detach().fill_(std::nan(""));
  CHECK_THAT(message_of<DivergedError>([&] { steps.step.run(2); }),
             Contains("diverged at step 3") && Contains("not finite"));
}

TEST_CASE("dropout draws from its own stream, the same for the same seed", "[train]") {
  Steps a(arm("full") + std::vector<std::string>{"model.dropout=0.2"}),
      b(arm("full") + std::vector<std::string>{"model.dropout=0.2"});
  torch::manual_seed(99);
  a.run(3);
  torch::manual_seed(1);
  b.run(3);
  CHECK(largest_difference(*a.model, *b.model) == 0);
}

TEST_CASE("a batch without a target is skipped: nothing moves", "[train]") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "{\"tokens\": [1, 2, 3, 4], \"targets\": [-1, 2, -1, " + std::string(i ? "3" : "-1") + "]}\n";
  overwrite(folder / "rows.jsonl", lines);
  const World world(tiny_config(arm("full") + std::vector<std::string>{"task.kind=file", "task.file.train=" + folder / "rows.jsonl",
                                                                        "task.file.test=" + folder / "rows.jsonl"}));
  struct Unscored : Task {  // as a plug-in's task may be
    explicit Unscored(const Task& of) : task(of) {}
    int64_t vocab() const override { return task.vocab(); }
    double chance() const override { return 0; }
    std::vector<Setting> train_settings() const override { return task.train_settings(); }
    std::vector<Setting> test_settings() const override { return task.test_settings(); }
    Sample sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const override {
      Sample row = task.sample(split, seed, index, setting);
      row.targets.assign(row.targets.size(), -1);
      return row;
    }
    const Task& task;
  } const task(*world.task);
  AdamW adam(named_tensors(*world.model), [](const std::string&) { return true; }, world.config.train);
  TrainingStep step(world.config, task, *world.model, adam);
  const at::Tensor before = named_tensors(*world.model)[0].second.detach().clone();
  const StepResult result = step.run(0);
  CHECK((result.skipped && std::isnan(result.loss) && adam.steps() == 0));
  CHECK(at::equal(named_tensors(*world.model)[0].second.detach(), before));
}
