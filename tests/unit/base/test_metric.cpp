#include "mneme/metric.h"

#include <cmath>
#include <limits>
#include <set>

#include "mneme/random.h"
#include "tests/support/test.h"

using namespace mneme;

namespace {

struct Position {
  double nats;
  bool right;
};

using Row = std::vector<Position>;

std::vector<Row> random_rows(size_t count) {
  Random random(7);
  std::vector<Row> rows(count);
  for (Row& row : rows)
    for (uint64_t positions = 1 + random.below(4); positions > 0; --positions)
      row.push_back({random.uniform() * 3, random.below(3) > 0});
  return rows;
}

EvalSums counts(const std::vector<Row>& rows) {
  EvalSums sums;
  for (const Row& row : rows) {
    EvalSums one;
    for (const Position& position : row) one.add_position(position.nats, position.right);
    sums += one.as_row();
  }
  return sums;
}

}  // namespace

TEST_CASE("metrics are what their definitions say of rows of scored positions", "[metric]") {
  const std::vector<Row> rows = random_rows(200);
  double positions = 0, right = 0, whole = 0, nats = 0;
  for (const Row& row : rows) {
    bool all = true;
    for (const Position& position : row) {
      ++positions;
      right += position.right;
      nats += position.nats;
      all = all && position.right;
    }
    whole += all;
  }
  REQUIRE((whole > 0 && whole < 200));
  const EvalSums sums = counts(rows);
  CHECK(Metric::accuracy.value(sums) == Approx(right / positions).epsilon(1e-14));
  CHECK(Metric::exact_match.value(sums) == Approx(whole / 200).epsilon(1e-14));
  CHECK(Metric::loss.value(sums) == Approx(nats / positions).epsilon(1e-12));
  for (const Metric& metric : Metric::all()) CHECK(std::isnan(metric.value({})));
}

TEST_CASE("counts of parts add up to those of the whole, whatever the parts", "[metric]") {
  const std::vector<Row> rows = random_rows(60);
  const EvalSums whole = counts(rows);
  for (const size_t size : {1u, 7u, 60u}) {
    EvalSums sum;
    for (size_t first = 0; first < rows.size(); first += size)
      sum += counts({rows.begin() + static_cast<ptrdiff_t>(first), rows.begin() + static_cast<ptrdiff_t>(std::min(rows.size(), first + size))});
    CHECK(sum.loss == Approx(whole.loss).epsilon(1e-12));
    sum.loss = whole.loss;
    CHECK(sum == whole);
  }
}

TEST_CASE("the sum of losses comes back from their mean, which files store", "[metric]") {
  EvalSums sums = counts(random_rows(30));
  const double sum = sums.loss, mean = Metric::loss.value(sums);
  sums.loss = -1;
  sums.set_mean_loss(mean);
  CHECK(sums.loss == Approx(sum).epsilon(1e-14));
  EvalSums nothing;
  nothing.set_mean_loss(Metric::loss.value(nothing));
  CHECK(nothing == EvalSums());
}

TEST_CASE("to answer more rightly, or with less loss, is better by every metric", "[metric]") {
  EvalSums worse{10, 40, 20, 2, 80}, better{10, 40, 30, 5, 40};
  for (const Metric& metric : Metric::all()) {
    INFO(metric.name());
    const double low = metric.value(worse), high = metric.value(better), nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(metric.better(high, low));
    CHECK_FALSE(metric.better(low, high));
    CHECK_FALSE(metric.better(low, low));
    CHECK((metric.reaches(high, low) && metric.reaches(low, low) && !metric.reaches(low, high)));
    CHECK_FALSE((metric.better(nan, low) || metric.better(low, nan) || metric.reaches(nan, low) || metric.reaches(nan, nan)));
  }
}

TEST_CASE("a metric is found by its name and no other", "[metric]") {
  std::set<std::string> names;
  for (const Metric& metric : Metric::all()) {
    names.insert(metric.name());
    REQUIRE(Metric::named(metric.name()));
    CHECK(*Metric::named(metric.name()) == metric);
    CHECK((metric.is_share() ? metric.better(1, 0) : metric.better(0, 1)));  // of a share more is better, of nats less
    CHECK(std::string(metric.unit()) == (metric == Metric::loss ? "nat" : "1"));
    CHECK(std::count(metric.family().begin(), metric.family().end(), metric) == 1);
  }
  CHECK(names == std::set<std::string>{"accuracy", "error", "exact_match", "loss"});
  for (const char* other : {"", "Loss", "exact match", "loss ", "perplexity"}) CHECK_FALSE(Metric::named(other));
}

TEST_CASE("values are written as people read them", "[metric]") {
  CHECK(Metric::exact_match.text(0.98432) == "98.4 %");
  CHECK(Metric::accuracy.number(1) == "100.0");
  CHECK(Metric::accuracy.difference(0.0132) == "+1.3");
  CHECK(Metric::loss.text(1.23456) == "1.2346");
  CHECK(Metric::loss.difference(-0.02) == "-0.0200");
  CHECK(Metric::exact_match.caption() == "exact match in %");
  CHECK(Metric::loss.caption() == "loss, nats per scored position");
  CHECK(std::string(Metric::loss.shown_unit()) == "nats");
}

TEST_CASE("the counts of a share are those that its value is made of", "[metric]") {
  const EvalSums sums = counts(random_rows(20));
  for (const Metric& metric : Metric::all()) {
    const ShareCounts share = metric.share(sums);
    if (metric.is_share()) CHECK(metric.value(sums) == static_cast<double>(share.right) / static_cast<double>(share.trials));
    else CHECK(share.trials == 0);
  }
  CHECK(Metric::exact_match.share(sums).trials == 20);
}

TEST_CASE("what is not finite is no answer: no metric of it has a value, and how many rows it is in is said", "[metric]") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    EvalSums good, row;
    good.add_position(1, true);
    row.add_position(0.5, true);
    row.add_position(bad, true);  // the arg max of NaN is the NaN's place, right or not
    CHECK(row.correct == 1);
    EvalSums sums = good.as_row();
    sums += row.as_row();
    CHECK((sums.rows == 2 && sums.exact == 1 && sums.not_finite == 1));
    for (const Metric& metric : Metric::all()) {
      CHECK(std::isnan(metric.value(sums)));
      CHECK(metric.text(sums) == "not finite, 1 of 2 rows");
    }
    EvalSums stored = sums;  // as files hold it: by the mean; those of before had no count
    stored.set_mean_loss(Metric::loss.value(sums));
    CHECK(std::isnan(Metric::accuracy.value(stored)));
    stored.not_finite = 0;
    CHECK(std::isnan(Metric::accuracy.value(stored)));
    CHECK(Metric::accuracy.text(stored) == "not finite");
  }
}

TEST_CASE("a row without a scored position is no row, and none of those that are right", "[metric]") {
  CHECK(EvalSums().as_row() == EvalSums());
  CHECK(Metric::exact_match.text(EvalSums().as_row()) == "-");
}
