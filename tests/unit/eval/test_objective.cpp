// The objective of vectors: its loss and gradients, what masked positions do, what evaluation makes of rows and references; and that the
// models of tokens know nothing of it.
#include <cmath>

#include "eval/batch.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "eval/objective.h"
#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "train/optimizer.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

const std::vector<std::string> kRegression{"task.kind=regression",         "task.regression.dimension=3", "task.regression.outputs=2",
                                           "task.regression.train=6",      "task.regression.test=1,6", "runtime.dtype=float64"};

World world_of(const std::string& name, const std::vector<std::string>& more = {}) { return World(tiny_config(arm(name) + kRegression + more)); }

double loss_of(World& world, const Batch& batch) {
  State state;
  ForwardContext context;
  return loss_sum(*world.model, world.model->hidden(batch.inputs, state, context), scored_positions(batch)).item<double>();
}

Batch batch_of(World& world, Split split = Split::train, int64_t rows = 3) {
  return make_batch(*world.task, split, 1, 0, rows, world.task->train_settings()[0]);
}

}  // namespace

TEST_CASE("vectors: the loss is the squared error, mean over outputs, summed over scored positions", "[eval][objective]") {
  World world = world_of("mag");
  const Batch batch = batch_of(world);
  REQUIRE(batch.inputs.sizes() == at::IntArrayRef({3, 13, 4}));
  REQUIRE(batch.answers.sizes() == at::IntArrayRef({3, 13, 2}));
  at::NoGradGuard no_grad;
  State state;
  ForwardContext context;
  const at::Tensor said = world.model->forward(batch.inputs, state, context);
  double sum = 0;
  for (int64_t row = 0; row < 3; ++row)
    for (int64_t t = 0; t < 13; t += 2)
      sum += (said[row][t] - batch.answers[row][t]).square().sum().item<double>() / 2;
  CHECK(loss_of(world, batch) == Approx(sum).epsilon(1e-12));
  const Scored scored = scored_positions(batch);
  CHECK(scored.count == 21);
  State again;
  const PositionScores scores = score_positions(*world.model, world.model->hidden(batch.inputs, again, context), scored);
  CHECK(scores.loss.sum().item<double>() == Approx(sum).epsilon(1e-12));
  CHECK_FALSE(scores.correct.any().item<bool>());
}

TEST_CASE("vectors: gradients are those of finite differences, into the linear maps at both ends", "[eval][objective]") {
  const std::string name = GENERATE("full", "mag_mlp");
  World world = world_of(name);
  const Batch batch = batch_of(world);
  State state;
  ForwardContext context;
  loss_sum(*world.model, world.model->hidden(batch.inputs, state, context), scored_positions(batch)).backward();
  at::NoGradGuard no_grad;
  for (const char* which : {"inputs", "head"}) {
    at::Tensor parameter = world.model->named_parameters()[which];
    REQUIRE(parameter.grad().defined());
    for (const int64_t place : {int64_t{0}, parameter.numel() / 2, parameter.numel() - 1}) {
      at::Tensor number = parameter.view(-1)[place];
      const double kept = number.item<double>(), step = 1e-6;
      number.fill_(kept + step);
      const double above = loss_of(world, batch);
      number.fill_(kept - step);
      const double below = loss_of(world, batch);
      number.fill_(kept);
      CHECK((above - below) / (2 * step) == Approx(parameter.grad().view(-1)[place].item<double>()).epsilon(1e-5).margin(1e-7));
    }
  }
}

TEST_CASE("vectors: what stands in answers that are not scored changes nothing", "[eval][objective]") {
  World world = world_of("full");
  Batch batch = batch_of(world);
  const double loss = loss_of(world, batch);
  batch.answers = batch.answers.clone();
  batch.answers.masked_fill_(batch.targets.lt(0).unsqueeze(2), 1e9);
  CHECK(loss_of(world, batch) == loss);
  batch.targets = batch.targets.clone();
  batch.targets.select(1, 0).fill_(-1);
  CHECK(loss_of(world, batch) < loss);
}

TEST_CASE("vectors: rows read in segments measure what whole rows do; references are scored on the same rows, in tests", "[eval][objective]") {
  World world = world_of("mag");
  Config cut = world.config;
  cut.eval.segment = 5, cut.eval.batch_tokens = 15;
  const Evaluation whole = evaluate(*world.model, *world.task, world.config, {Split::test, 1, {}});
  const Evaluation parts = evaluate(*world.model, *world.task, cut, {Split::test, 1, {}});
  CHECK(whole.metric == Metric::error);
  REQUIRE(whole.settings.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const EvalSetting &a = whole.settings[i], &b = parts.settings[i];
    CHECK((a.sums.rows == 16 && a.sums.scored == 16 && a.sums.correct == 0 && a.sums.exact == 0));
    CHECK(b.sums.loss == Approx(a.sums.loss).epsilon(1e-9));
    REQUIRE(a.references.size() == 2);
    for (const auto& [name, sums] : a.references) {
      CHECK((sums.rows == 16 && sums.scored == 16));
      CHECK(b.references.at(name) == sums);
    }
  }
  CHECK(Metric::error.value(whole.settings[1].references.at("bayes")) < 1e-6);  // 6 pairs, 3 weights
  CHECK(evaluate(*world.model, *world.task, world.config, {Split::validation, 1, {}}).settings[0].references.empty());
}

TEST_CASE("vectors: a model is saved and loaded with its widths, which trainer.json must not contradict", "[eval][objective]") {
  TemporaryFolder folder;
  World world = world_of("mag");
  AdamW adam(named_tensors(*world.model), [](const std::string&) { return true; }, world.config.train);
  TrainerState state;
  state.config_hash = config_hash(world.config);
  CheckpointFolder(folder.path() + "/checkpoint", 1).save(world.config, *world.model, adam.state(), state);
  const LoadedModel loaded = load_model(folder.path());
  CHECK(loaded.model->shape().objective() == world.task->objective());
  const Batch batch = batch_of(world);
  at::NoGradGuard no_grad;
  State a, b;
  ForwardContext context;
  CHECK(loaded.model->forward(batch.inputs, a, context).equal(world.model->forward(batch.inputs, b, context)));
  CHECK_THAT(message_of<UsageError>([&] { require_tokens(*loaded.model, "mneme generate"); }),
             Contains("mneme generate") && Contains("vectors of 4"));
  State other;
  CHECK_THROWS_AS(loaded.model->hidden(batch.inputs.narrow(2, 0, 3), other, context), UsageError);
}

TEST_CASE("a task fits a model of its own objective alone", "[eval][objective]") {
  CHECK(Objective::tokens(60).fits(Objective::tokens(64)));
  CHECK_FALSE(Objective::tokens(65).fits(Objective::tokens(64)));
  CHECK(Objective::vectors(4, 2).fits(Objective::vectors(4, 2)));
  CHECK_FALSE(Objective::vectors(4, 1).fits(Objective::vectors(4, 2)));
  CHECK_FALSE(Objective::tokens(2).fits(Objective::vectors(4, 2)));
  CHECK_FALSE(Objective::vectors(4, 2).fits(Objective::tokens(64)));
  CHECK_THAT(message_of<ConfigError>([] { world_of("full", {"task.loss=all"}); }), Contains("task.loss = all"));
}
