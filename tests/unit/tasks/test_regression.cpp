// In-context regression: what rows hold, how much of them can be known, and who knows it.
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "tasks/support/regression_reference.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

const std::map<std::string, std::string> kFunctions{
    {"linear", "task.regression.dimension = 4"},
    {"sparse", "task.regression.function = sparse; task.regression.dimension = 6"},
    {"relu", "task.regression.function = relu; task.regression.dimension = 3; task.regression.outputs = 2"},
    {"sinusoid", "task.regression.function = sinusoid; task.regression.dimension = 1"}};

MadeTask regression(const std::string& function, const std::string& more = "") {
  return make_task("task.kind = regression; " + kFunctions.at(function) + (more.empty() ? "" : "; " + more));
}

Sample past_of(const Task& task, const Sample& row, size_t position) {
  Sample past;
  past.inputs.assign(row.inputs.begin(), row.inputs.begin() + static_cast<ptrdiff_t>((position + 1) * static_cast<size_t>(task.objective().inputs)));
  return past;
}

/// Mean squared error of each reference on `rows` test rows of `pairs` pairs.
std::map<std::string, double> errors(const Task& task, int64_t pairs, uint64_t rows) {
  std::map<std::string, double> mean;
  const auto outputs = static_cast<size_t>(task.objective().outputs);
  for (uint64_t index = 0; index < rows; ++index) {
    const Sample row = task.sample(Split::test, 1, index, {pairs});
    const size_t last = row.targets.size() - 1;
    for (const Reference& reference : task.references()) {
      const std::vector<double> said = reference.predict(past_of(task, row, last));
      REQUIRE(said.size() == outputs);
      for (size_t i = 0; i < outputs; ++i)
        mean[reference.name] += std::pow(said[i] - row.answers[last * outputs + i], 2) / static_cast<double>(outputs * rows);
    }
  }
  return mean;
}

}  // namespace

TEST_CASE("regression: pairs stand one after the other, every x is asked in training and the last alone in tests", "[tasks][regression]") {
  for (const auto& [function, lines] : kFunctions) {
    INFO(function);
    const MadeTask made = regression(function);
    const Objective objective = made->objective();
    const auto width = static_cast<size_t>(objective.inputs), outputs = static_cast<size_t>(objective.outputs);
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const Sample row = made->sample(split, 3, 5, {6});
      REQUIRE(row.targets.size() == 13);
      for (size_t t = 0; t < 13; ++t) {
        CHECK(row.inputs[(t + 1) * width - 1] == (t % 2 == 0 ? 1 : -1));
        CHECK(row.targets[t] == (t % 2 == 0 && (split != Split::test || t == 12) ? 0 : -1));
        for (size_t i = 0; row.targets[t] >= 0 && t < 12 && i < outputs; ++i)
          CHECK(row.answers[t * outputs + i] == row.inputs[(t + 1) * width + i]);  // what is asked is shown next
      }
    }
  }
}

TEST_CASE("regression: inputs have variance 1, answers mean 0 and variance 1, with noise too", "[tasks][regression]") {
  for (const auto& [function, lines] : kFunctions)
    for (const std::string noise : {"", "task.regression.noise = 0.7"}) {
      INFO(function << " " << noise);
      const MadeTask made = regression(function, noise);
      const auto outputs = static_cast<size_t>(made->objective().outputs);
      constexpr int kRows = 20000;
      double sum = 0, square = 0, fourth = 0, x = 0;
      for (int index = 0; index < kRows; ++index) {
        const Sample row = made->sample(Split::test, 2, static_cast<uint64_t>(index), {1});
        const double y = row.answers[2 * outputs];
        sum += y, square += y * y, fourth += y * y * y * y, x += row.inputs[0] * row.inputs[0];
      }
      const double variance = square / kRows, spread = std::sqrt((fourth / kRows - variance * variance) / kRows);
      CHECK(std::abs(sum / kRows) < 5 / std::sqrt(double(kRows)));
      CHECK(std::abs(variance - 1) < 5 * spread);
      CHECK(std::abs(x / kRows - 1) < 5 * std::sqrt(2.0 / kRows));
      CHECK(made->chance() == 1);
    }
}

TEST_CASE("regression: with as many pairs as weights the linear function is known; before, as much of it as pairs", "[tasks][regression]") {
  const MadeTask made = regression("linear");
  CHECK(errors(*made.task, 4, 300)["bayes"] < 1e-6);
  CHECK(errors(*made.task, 40, 50)["bayes"] < 1e-10);
  for (const int64_t pairs : {1, 2, 3})  // n pairs show the weight along n of 4 directions
    CHECK(errors(*made.task, pairs, 4000)["bayes"] == Approx(1 - pairs / 4.0).margin(0.1));
}

TEST_CASE("regression: of noisy linear functions the Bayes optimum is ridge regression, better than other penalties", "[tasks][regression]") {
  const MadeTask made = regression("linear", "task.regression.noise = 0.5; task.regression.dimension = 4");
  double best = 0, less = 0, more = 0;
  for (uint64_t index = 0; index < 4000; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {6});
    ShownPairs pairs{6, 4, 1, {}, {}, {}};
    for (size_t t = 0; t < 13; ++t) {
      const auto channels = row.inputs.begin() + static_cast<ptrdiff_t>(5 * t);
      std::vector<double>& into = t == 12 ? pairs.asked : t % 2 == 0 ? pairs.x : pairs.y;
      into.insert(into.end(), channels, channels + (t % 2 == 0 ? 4 : 1));
    }
    const double answer = row.answers[12];
    best += std::pow(ridge(pairs, 1, 0.25)[0] - answer, 2);
    less += std::pow(ridge(pairs, 1, 0.25 / 16)[0] - answer, 2);
    more += std::pow(ridge(pairs, 1, 0.25 * 16)[0] - answer, 2);
    CHECK(made->references()[0].predict(past_of(*made.task, row, 12)) == ridge(pairs, 1, 0.25));
  }
  CHECK((best < less && best < more));
  // 0.25 of 1.25 is noise that nothing knows.
  CHECK(errors(*made.task, 200, 2000)["bayes"] == Approx(0.2).margin(0.03));
}

TEST_CASE("regression: more pairs help, and who knows the class of functions is better than who does not", "[tasks][regression]") {
  const std::map<std::string, std::string> best{{"relu", "gaussian_process"}, {"sinusoid", "gaussian_process"}, {"sparse", "ridge"}};
  for (const auto& [function, strong] : best) {
    INFO(function);
    const MadeTask made = regression(function);
    std::map<std::string, double> few = errors(*made.task, 2, 600), many = errors(*made.task, 48, 600);
    for (const auto& [name, error] : many) CHECK(error < few[name]);
    CHECK(many[strong] < many["nearest"]);
    CHECK(many[strong] < (function == "relu" ? many["ridge"] : 0.02));
    CHECK(few[strong] < 1);
  }
}

TEST_CASE("regression: what cannot be known has an error of at least 1 for every reference", "[tasks][regression]") {
  for (const auto& [function, lines] : kFunctions) {
    const MadeTask made = regression(function, "task.control = impossible"), normal = regression(function);
    const Sample a = normal->sample(Split::train, 1, 4, {5}), b = made->sample(Split::train, 1, 4, {5});
    CHECK(a.inputs == b.inputs);
    CHECK(a.targets == b.targets);
    CHECK(a.answers != b.answers);
    for (const auto& [name, error] : errors(*made.task, 24, 2000)) {
      INFO(function << " " << name);
      CHECK(error > 0.9);
    }
  }
}

TEST_CASE("regression: Cholesky solves, and a Gaussian process of the linear covariance is ridge regression", "[tasks][regression]") {
  Random random(3);
  const auto numbers = [&](size_t count) {
    std::vector<double> all(count);
    for (double& number : all) number = random.normal();
    return all;
  };
  const std::vector<double> M = numbers(36), x = numbers(12);
  std::vector<double> A(36), b(12);
  for (size_t i = 0; i < 6; ++i)
    for (size_t j = 0; j < 6; ++j)
      for (size_t k = 0; k < 6; ++k) A[6 * i + j] += M[6 * i + k] * M[6 * j + k];
  for (size_t i = 0; i < 6; ++i) A[7 * i] += 0.1;
  for (size_t i = 0; i < 6; ++i)
    for (size_t c = 0; c < 2; ++c)
      for (size_t k = 0; k < 6; ++k) b[2 * i + c] += A[6 * i + k] * x[2 * k + c];
  solve_cholesky(A, b, 6);
  for (size_t i = 0; i < 12; ++i) CHECK(b[i] == Approx(x[i]).epsilon(1e-10));
  for (const int64_t n : {0, 2, 9}) {
    const ShownPairs pairs{n, 3, 2, numbers(static_cast<size_t>(3 * n)), numbers(static_cast<size_t>(2 * n)), numbers(3)};
    const std::vector<double> primal = ridge(pairs, 0.8, 0.3);
    const std::vector<double> dual = gaussian_process(
        pairs, [](const double* p, const double* q) { return 0.8 / 3 * std::inner_product(p, p + 3, q, 0.0); }, 0.3);
    for (size_t c = 0; c < 2; ++c) CHECK(dual[c] == Approx(primal[c]).margin(1e-12));
  }
  const ShownPairs three{3, 1, 1, {0, 1, 5}, {1, 2, 6}, {4}};
  CHECK(nearest(three, 1)[0] == 6);
  CHECK(nearest(three, 2)[0] == 4);
  CHECK(nearest(three, 5)[0] == Approx(3));
  CHECK(nearest({0, 1, 1, {}, {}, {4}}, 3)[0] == 0);
}

TEST_CASE("regression: settings that make no sense are refused with their cure", "[tasks][regression]") {
  const std::string task = "task.kind = regression; ";
  CHECK_THAT(error_of(task + "task.regression.function = sinusoid"),
             Contains("task.regression.dimension") && Contains("set task.regression.dimension = 1"));
  CHECK_THAT(error_of(task + "task.regression.function = sparse; task.regression.nonzero = 9"), Contains("task.regression.nonzero"));
  CHECK_THAT(error_of(task + "task.regression.function = sinusoid; task.regression.dimension = 1; task.regression.lowest = 4"), Contains("highest"));
}

// From an independent program (Python: xoshiro256**, algorithm N).
TEST_CASE("regression: golden rows", "[tasks][regression][golden]") {
  const Sample row = regression("linear")->sample(Split::train, 42, 7, {1});
  std::string text;
  for (const float number : row.inputs) text += fmt::format("{:.6f} ", number);
  CHECK(text == "1.688070 1.070092 -0.843333 0.065642 1.000000 0.302589 0.000000 0.000000 0.000000 -1.000000 "
                "0.660719 -1.757748 -1.005300 -0.217104 1.000000 ");
}
