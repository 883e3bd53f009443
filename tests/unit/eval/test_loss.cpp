#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/batch.h"
#include "eval/loss.h"

using namespace mneme;

TEST_CASE("the summed cross entropy and its gradient are LibTorch's", "[train]") {
  torch::manual_seed(3);
  at::Tensor own = at::randn({37, 11}, at::kDouble).mul_(5).set_requires_grad(true);
  at::Tensor theirs = own.detach().clone().set_requires_grad(true);
  const at::Tensor targets = at::randint(0, 11, {37}, at::kLong);
  const at::Tensor loss = cross_entropy_sum(own, targets);
  const at::Tensor expected = at::cross_entropy_loss(theirs, targets, {}, at::Reduction::Sum);
  (loss * 0.25).backward();
  (expected * 0.25).backward();
  CHECK(loss.item<double>() == Approx(expected.item<double>()).epsilon(1e-12));
  CHECK((own.grad() - theirs.grad()).abs().max().item<double>() < 1e-12);
}

TEST_CASE("only positions with a target are picked, row after row", "[train]") {
  const at::Tensor targets = at::tensor({-1, 3, -1, 0, -1, 5}, at::kLong).reshape({2, 3});
  const Scored scored = scored_positions(targets);
  CHECK(scored.count == 3);
  CHECK(scored.targets.equal(at::tensor({3, 0, 5}, at::kLong)));
  const at::Tensor hidden = at::arange(12, at::kFloat).reshape({2, 3, 2});
  CHECK(select_scored(hidden, scored).equal(at::tensor({2.f, 3.f, 6.f, 7.f, 10.f, 11.f}).reshape({3, 2})));
  const Scored every = scored_positions(targets.abs());
  CHECK(select_scored(hidden, every).equal(hidden.reshape({6, 2})));
}

TEST_CASE("loss on all tokens: where no answer is asked the next token is", "[train]") {
  Batch batch{
      at::tensor({7, 8, 9, 6}, at::kLong).reshape({1, 4}), at::tensor({-1, 2, -1, -1}, at::kLong).reshape({1, 4}), {}, {}};
  score_every_token(batch);
  CHECK(batch.targets.equal(at::tensor({8, 2, 6, -1}, at::kLong).reshape({1, 4})));
}

TEST_CASE("scores of positions are those of the whole logits", "[train]") {
  const test::World world(test::tiny_config());
  const Batch batch = make_batch(*world.task, Split::train, 1, 0, 4, world.task->train_settings()[0]);
  at::NoGradGuard no_grad;
  State state;
  ForwardContext context;
  const at::Tensor hidden = world.model->hidden(batch.inputs, state, context);
  const Scored scored = scored_positions(batch.targets);
  REQUIRE(scored.count > 0);
  const PositionScores scores = score_positions(*world.model, hidden, scored);
  const at::Tensor logits = world.model->logits(hidden).flatten(0, 1).index_select(0, scored.index);
  const at::Tensor loss = at::cross_entropy_loss(logits, scored.targets, {}, at::Reduction::None);
  CHECK((scores.loss - loss).abs().max().item<double>() < 1e-5);
  CHECK(scores.correct.equal(logits.argmax(1).eq(scored.targets)));
}
