#include <set>

#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/batch.h"
#include "eval/make.h"

using namespace mneme;
using mneme::test::tiny_config;

TEST_CASE("what a step reads depends on the seed and the step only, and no row is read twice", "[train]") {
  const Config config = tiny_config({"task.mqar.train=32x4,64x4,64x8", "train.batch_tokens=512"});
  const auto task = make_task(config);
  const StepPlan plan(*task, config.train, 5), again(*task, config.train, 5), other(*task, config.train, 6);
  std::set<std::pair<Setting, uint64_t>> seen;
  std::set<Setting> drawn;
  bool differs = false;
  for (int64_t step = 0; step < 60; ++step) {
    const StepRows rows = plan.at(step);
    CHECK(rows.rows == 512 / task->length(rows.setting));
    CHECK((rows.setting == again.at(step).setting && rows.first == again.at(step).first));
    differs = differs || rows.setting != other.at(step).setting;
    drawn.insert(rows.setting);
    for (int64_t row = 0; row < rows.rows; ++row)
      REQUIRE(seen.insert({rows.setting, rows.first + static_cast<uint64_t>(row)}).second);
  }
  CHECK(drawn.size() == 3);
  CHECK(differs);
}

TEST_CASE("a row longer than batch_tokens is still one row", "[train]") {
  const Config config = tiny_config({"train.batch_tokens=8"});
  const auto task = make_task(config);
  CHECK(StepPlan(*task, config.train, 1).at(0).rows == 1);
}

TEST_CASE("a batch holds the task's own rows", "[train]") {
  const Config config = tiny_config();
  const auto task = make_task(config);
  const Setting setting = task->train_settings()[0];
  const Batch batch = make_batch(*task, Split::test, 9, 100, 3, setting);
  const Sample sample = task->sample(Split::test, 9, 102, setting);
  CHECK(batch.inputs.select(0, 2).equal(at::tensor(sample.tokens, at::kLong)));
  CHECK(batch.targets.select(0, 2).equal(at::tensor(sample.targets, at::kLong)));
}
