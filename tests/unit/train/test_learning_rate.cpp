#include "tests/support/test.h"
#include "train/training_step.h"

using namespace mneme;

TEST_CASE("warm-up rises linearly, the cosine falls from lr to lr_min · lr", "[train]") {
  TrainOptions train;
  train.steps = 110;
  train.warmup = 10;
  train.lr = 2e-3;
  train.lr_min = 0.1;
  CHECK(learning_rate(train, 0) == Approx(2e-4));
  CHECK(learning_rate(train, 4) == Approx(1e-3));
  CHECK(learning_rate(train, 9) == Approx(2e-3));
  CHECK(learning_rate(train, 10) == Approx(2e-3));
  CHECK(learning_rate(train, 35) == Approx(2e-4 + 1.8e-3 * 0.8535533906));  // a quarter: (1 + cos π/4) / 2
  CHECK(learning_rate(train, 60) == Approx(1.1e-3));
  CHECK(learning_rate(train, 110) == Approx(2e-4));
  CHECK(learning_rate(train, 500) == Approx(2e-4));
}

TEST_CASE("a constant schedule keeps lr after the warm-up; no warm-up starts at lr", "[train]") {
  TrainOptions train;
  train.schedule = "constant";
  train.lr = 1e-2;
  train.warmup = 4;
  CHECK(learning_rate(train, 1) == Approx(5e-3));
  CHECK(learning_rate(train, 4) == 1e-2);
  CHECK(learning_rate(train, 400) == 1e-2);
  train.warmup = 0;
  CHECK(learning_rate(train, 0) == 1e-2);
}

TEST_CASE("penalties count nothing at first, then rise to their full weight, and always without a ramp", "[train]") {
  TrainOptions train;
  train.steps = 200;
  CHECK(penalty_share(train, 0) == 1);
  train.penalty_from = 0.4, train.penalty_full = 0.8;
  CHECK(penalty_share(train, 0) == 0);
  CHECK(penalty_share(train, 79) == 0);
  CHECK(penalty_share(train, 80) == Approx(0).margin(1e-12));
  CHECK(penalty_share(train, 120) == Approx(0.5));
  CHECK(penalty_share(train, 160) == Approx(1));
  CHECK(penalty_share(train, 199) == 1);
  train.penalty_full = 0.4;  // a step, not a ramp
  CHECK(penalty_share(train, 79) == 0);
  CHECK(penalty_share(train, 80) == 1);
  train.penalty_from = 1, train.penalty_full = 1;
  CHECK(penalty_share(train, 199) == 0);
}
