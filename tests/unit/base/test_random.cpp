#include "mneme/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "tests/support/test.h"

using namespace mneme;

// Golden numbers from an independent program (Python integers).
TEST_CASE("Random: the numbers of a seed never change (rows of every task depend on them)", "[core][random]") {
  Random random(1, "train", 2);
  const std::array<uint64_t, 3> first{random.next(), random.next(), random.next()};
  CHECK(first == std::array<uint64_t, 3>{3292982549265568889u, 3383036797753869536u, 6766901770695963983u});
  CHECK(mix_seed(1, "train", 2) == 775223994868394674u);
  CHECK(Random(1, "train", 2).distinct(5, 1000) == std::vector<int64_t>{178, 184, 368, 755, 388});
}

TEST_CASE("Random: seeds, stream names and indices give independent streams", "[core][random]") {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const char* stream : {"", "a", "b", "train", "test"})
      for (uint64_t index = 0; index < 20; ++index) seen.insert(Random(seed, stream, index).next());
  CHECK(seen.size() == 20 * 5 * 20);
  CHECK(mix_seed(1, "", 2) != mix_seed(2, "", 1));
}

// Moments of 200,000 draws within 5 standard errors, and the share below each eighth of the distribution.
TEST_CASE("Random: normal numbers are normal", "[core][random]") {
  constexpr int kDraws = 200000;
  Random random(11);
  double sum = 0, square = 0, fourth = 0;
  const std::array<double, 7> edges{-1.150349, -0.674490, -0.318639, 0, 0.318639, 0.674490, 1.150349};
  std::array<int, 8> count{};
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x, square += x * x, fourth += x * x * x * x;
    ++count[static_cast<size_t>(std::upper_bound(edges.begin(), edges.end(), x) - edges.begin())];
  }
  const double error = 1 / std::sqrt(double(kDraws));
  CHECK(std::abs(sum / kDraws) < 5 * error);
  CHECK(std::abs(square / kDraws - 1) < 5 * std::sqrt(2.0) * error);
  CHECK(std::abs(fourth / kDraws - 3) < 5 * std::sqrt(96.0) * error);
  double chi2 = 0;
  for (const int n : count) chi2 += (n - kDraws / 8.0) * (n - kDraws / 8.0) / (kDraws / 8.0);
  CHECK(chi2 < 7 + 5 * std::sqrt(14.0));
}

TEST_CASE("Random: below is uniform, also for bounds that do not divide 2^64", "[core][random]") {
  Random random(7);
  for (const uint64_t bound : {1ull, 3ull, 10ull, 257ull}) {
    std::vector<double> count(bound);
    const double draws = 2000.0 * static_cast<double>(bound);
    for (int i = 0; i < draws; ++i) ++count.at(random.below(bound));
    double chi2 = 0;
    for (const double n : count) chi2 += (n - 2000) * (n - 2000) / 2000;
    const double freedom = static_cast<double>(bound - 1);
    CHECK(chi2 <= freedom + 5 * std::sqrt(2 * freedom + 1e-9) + 1e-9);  // 5 standard deviations
  }
  // A bound just above 2^63 rejects nearly half of the raw numbers; a biased method would favour the low half.
  const uint64_t bound = (1ull << 63) + (1ull << 62);
  int low = 0;
  for (int i = 0; i < 30000; ++i) low += random.below(bound) < bound / 2;
  CHECK(std::abs(low - 15000) < 5 * std::sqrt(30000 / 4.0));
}

TEST_CASE("Random: between reaches both ends and the whole int64 range", "[core][random]") {
  Random random(3);
  std::set<int64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(random.between(-2, 2));
  CHECK(seen == std::set<int64_t>{-2, -1, 0, 1, 2});
  bool negative = false, positive = false;
  for (int i = 0; i < 100; ++i)
    (random.between(INT64_MIN, INT64_MAX) < 0 ? negative : positive) = true;
  CHECK((negative && positive));
  CHECK(random.between(5, 5) == 5);
}

TEST_CASE("Random: uniform stays in [0, 1) with mean one half", "[core][random]") {
  Random random(9);
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const double x = random.uniform();
    REQUIRE((0 <= x && x < 1));
    sum += x;
  }
  CHECK(std::abs(sum / 20000 - 0.5) < 5 / std::sqrt(12.0 * 20000));
}

TEST_CASE("Random: distinct draws without repetition, every number equally often, at any bound", "[core][random]") {
  Random random(11);
  std::array<int, 10> count{}, first{};
  for (int i = 0; i < 10000; ++i) {
    const auto drawn = random.distinct(3, 10);
    REQUIRE(std::set<int64_t>(drawn.begin(), drawn.end()).size() == 3);
    for (const int64_t number : drawn) ++count.at(static_cast<size_t>(number));
    ++first.at(static_cast<size_t>(drawn[0]));
  }
  for (const int n : count) CHECK(std::abs(n - 3000) < 5 * std::sqrt(3000 * 0.7));
  for (const int n : first) CHECK(std::abs(n - 1000) < 5 * std::sqrt(1000 * 0.9));  // the order is random too

  auto all = random.distinct(50, 50);
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 50; ++i) CHECK(all[static_cast<size_t>(i)] == i);
  CHECK(random.distinct(4, int64_t{1} << 60).size() == 4);  // no table of the bound's size
  CHECK(random.distinct(0, 0).empty());
}

TEST_CASE("Random: shuffle keeps the elements", "[core][random]") {
  Random random(13);
  std::vector<int> values{1, 2, 3, 4, 5, 6, 7, 8};
  auto shuffled = values;
  random.shuffle(shuffled);
  CHECK(shuffled != values);
  std::sort(shuffled.begin(), shuffled.end());
  CHECK(shuffled == values);
}
