// Against numbers of others: R's help pages and published worked examples, exact fractions where a few tables can be counted by hand.
#include <algorithm>
#include <cmath>
#include <limits>

#include "mneme/random.h"
#include "report/statistics.h"
#include "tests/support/test.h"

using namespace mneme;

namespace {

/// Student's sleep data, hours gained by ten patients with two drugs (Biometrika 6, 1908; R: `sleep`).
const std::vector<double> kFirstDrug{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
const std::vector<double> kSecondDrug{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};

std::vector<double> minus(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] - b[i]);
  return result;
}

}  // namespace

TEST_CASE("a paired difference is R's t.test(extra ~ group, data = sleep, paired = TRUE)", "[statistics]") {
  const Difference difference = paired_difference(minus(kFirstDrug, kSecondDrug));
  CHECK(difference.n == 10);
  CHECK(difference.mean == Approx(-1.58));
  CHECK(difference.p.value() == Approx(0.002832890).epsilon(1e-6));
  CHECK(difference.mean - difference.half_width.value() == Approx(-2.4598858).epsilon(1e-7));
  CHECK(difference.mean + difference.half_width.value() == Approx(-0.7001142).epsilon(1e-7));
}

TEST_CASE("two means of other seeds are compared as R's t.test(extra ~ group, data = sleep)", "[statistics]") {
  const Difference difference = welch_difference(kFirstDrug, kSecondDrug);
  CHECK_FALSE(difference.paired);
  CHECK(difference.mean == Approx(-1.58));
  CHECK(difference.p.value() == Approx(0.07939414).epsilon(1e-6));
  CHECK(difference.mean - difference.half_width.value() == Approx(-3.3654832).epsilon(1e-7));
  CHECK(difference.mean + difference.half_width.value() == Approx(0.2054832).epsilon(1e-6));
}

TEST_CASE("the interval of few values is as wide as tables of t say", "[statistics]") {
  CHECK(half_width({0.9}) == std::nullopt);                                          // one seed says nothing of others
  CHECK(half_width({1, 2}).value() == Approx(12.7062047 * 0.5));                     // t(0.975; 1), s/√n = 0.5
  CHECK(half_width({1, 2, 3}).value() == Approx(4.3026527 / std::sqrt(3.0)));        // t(0.975; 2)
  CHECK(half_width({1, 2, 3, 4, 5}).value() == Approx(2.7764451 * std::sqrt(0.5)));  // t(0.975; 4)
  CHECK(half_width({}) == std::nullopt);
}

TEST_CASE("without spread, and with too few seeds, a difference claims no more than it can", "[statistics]") {
  const Difference equal = paired_difference({0, 0, 0}), shifted = paired_difference({0.1 + 0.2, 0.3, 0.3});
  CHECK((equal.half_width.value() == 0 && equal.p.value() == 1));
  CHECK((shifted.half_width.value() == 0 && shifted.p.value() == 0 && shifted.least == Approx(0.1)));
  const Difference one = paired_difference({0.5}), none = paired_difference({});
  CHECK((one.mean == 0.5 && !one.half_width && !one.p));
  CHECK((none.n == 0 && !none.p));
  CHECK(welch_difference({1, 1}, {1, 1, 1}).p.value() == 1);
  CHECK_FALSE(welch_difference({1}, {1, 2}).p);
  CHECK_FALSE(paired_difference({std::numeric_limits<double>::quiet_NaN(), 1}).p);
}

TEST_CASE("the least p that a claim may rest on is what a permutation of the seeds can reach", "[statistics]") {
  CHECK(least_p(2, 2) == Approx(1.0 / 3));
  CHECK(least_p(3, 3) == Approx(0.1));
  CHECK(least_p(4, 4) == Approx(2.0 / 70));
  CHECK(least_p(5, 5) == Approx(2.0 / 252));
  CHECK(least_p(2, 3) == Approx(0.2));
  CHECK((least_p(1, 1) == 1 && least_p(3, 2) == Approx(least_p(2, 3))));
  CHECK(paired_difference({1, 1}).least == Approx(1.0 / 3));
  CHECK(paired_difference({1, 1.001, 0.999}).least == Approx(0.1));
  CHECK(paired_difference({1, 1.001, 0.999}).p.value() == Approx(3.3333e-7).epsilon(1e-3));  // t = 1732, two degrees of freedom: 1 / t²
  CHECK(paired_difference({1, 1, 1, 1, 1}).least == Approx(2.0 / 252));
  CHECK(welch_difference({1, 1}, {0, 0, 0}).least == Approx(0.2));
}

TEST_CASE("95 % of the intervals hold the mean of what the values are drawn from", "[statistics]") {
  Random random(11);
  int64_t inside = 0;
  constexpr int64_t kTrials = 4000;
  for (int64_t trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values;
    for (int i = 0; i < 5; ++i) {  // sums of twelve uniform numbers: nearly normal, mean 6
      double sum = 0;
      for (int k = 0; k < 12; ++k) sum += random.uniform();
      values.push_back(sum);
    }
    inside += std::abs(mean(values) - 6) <= half_width(values).value();
  }
  CHECK(static_cast<double>(inside) / kTrials == Approx(0.95).margin(0.014));  // 4 standard errors
}

TEST_CASE("Wilson's interval, as Newcombe tabulates it (Stat. Med. 17, 1998, table I, method 3)", "[statistics]") {
  const auto [right, trials, low, high] =
      GENERATE(table<double, double, double, double>({{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}}));
  CAPTURE(right, trials);
  const Interval interval = wilson_interval({right, trials}), mirrored = wilson_interval({trials - right, trials});
  CHECK(interval.low == Approx(low).margin(5e-5));
  CHECK(interval.high == Approx(high).margin(5e-5));
  CHECK(mirrored.low == Approx(1 - interval.high));
  CHECK(mirrored.high == Approx(1 - interval.low));
}

TEST_CASE("all right, all wrong and no rows have intervals too", "[statistics]") {
  const double z2 = 3.8414588;
  CHECK(wilson_interval({0, 64}).low == 0);
  CHECK(wilson_interval({0, 64}).high == Approx(z2 / (64 + z2)));
  CHECK(wilson_interval({64, 64}).low == Approx(64 / (64 + z2)));
  CHECK(wilson_interval({64, 64}).high == 1);
  CHECK((wilson_interval({}).low == 0 && wilson_interval({}).high == 1));
}

TEST_CASE("Fisher's test counts the tables that are as unlikely", "[statistics]") {
  CHECK(fisher_p({3, 4}, {1, 4}) == Approx(34.0 / 70));  // the lady tasting tea: 1 + 16 + 16 + 1 of 70 tables
  CHECK(fisher_p({8, 10}, {1, 6}) == Approx(400.0 / 11440));
  CHECK(fisher_p({1, 10}, {11, 14}) == Approx(7462.0 / 2704156));
  CHECK(fisher_p({2, 17}, {10, 13}) == Approx(0.0005367241).epsilon(1e-6));  // R's help page of fisher.test: Convictions
  CHECK(fisher_p({10, 13}, {2, 17}) == Approx(0.0005367241).epsilon(1e-6));
  CHECK(fisher_p({5, 10}, {5, 10}) == Approx(1));
  CHECK(fisher_p({0, 10}, {0, 7}) == 1);
  CHECK(fisher_p({10, 10}, {7, 7}) == 1);
  CHECK(fisher_p({0, 3}, {3, 3}) == Approx(2.0 / 20));
  CHECK(fisher_p({0, 0}, {3, 3}) == 1);
  CHECK(fisher_p({0, 163840}, {163840, 163840}) < 1e-300);
}

TEST_CASE("Fisher's p of any small table is the sum over all tables of its margins", "[statistics]") {
  const auto choose = [](int64_t n, int64_t k) {
    double result = 1;
    for (int64_t i = 0; i < k; ++i) result = result * static_cast<double>(n - i) / static_cast<double>(i + 1);
    return result;
  };
  for (int64_t m = 1; m <= 7; ++m)
    for (int64_t n = 1; n <= 7; ++n)
      for (int64_t a = 0; a <= m; ++a)
        for (int64_t b = 0; b <= n; ++b) {
          double p = 0;
          const double seen = choose(m, a) * choose(n, b);
          for (int64_t k = std::max<int64_t>(0, a + b - n); k <= std::min(m, a + b); ++k)
            if (const double ways = choose(m, k) * choose(n, a + b - k); ways <= seen * (1 + 1e-9)) p += ways;
          CAPTURE(m, n, a, b);
          CHECK(fisher_p({double(a), double(m)}, {double(b), double(n)}) == Approx(p / choose(m + n, a + b)).epsilon(1e-10));
        }
}

TEST_CASE("Holm's correction is R's p.adjust", "[statistics]") {
  CHECK_THAT(holm({0.01, 0.04, 0.03, 0.005}), Catch::Approx(std::vector<double>{0.03, 0.06, 0.06, 0.02}));
  CHECK(holm({0.5}) == std::vector<double>{0.5});
  CHECK(holm({0.9, 0.8}) == std::vector<double>{1, 1});
  CHECK(holm({}).empty());
}
