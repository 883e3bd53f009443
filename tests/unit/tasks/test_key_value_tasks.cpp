// Protocols of mqar, rewrite and induction.
#include <algorithm>
#include <map>
#include <set>

#include "tasks/support/query_slots.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("mqar: pairs first, then every key once, at a slot of the rest; filler is 0", "[tasks][mqar]") {
  const MadeTask made = make_task("task.kind = mqar; task.mqar.test = 256x32, 64x16; task.mqar.filler = zeros");
  for (const Setting& setting : made->test_settings())
    for (uint64_t index = 0; index < 30; ++index) {
      const Sample row = made->sample(Split::test, 1, index, setting);
      const size_t pairs = static_cast<size_t>(setting[1]);
      std::map<int64_t, int64_t> value_of;
      std::set<int64_t> values;
      for (size_t t = 0; t < 2 * pairs; t += 2) {
        CHECK((row.tokens[t] >= 1 && row.tokens[t] < 256));
        CHECK((row.tokens[t + 1] >= 256 && row.tokens[t + 1] < 512));
        CHECK((row.targets[t] == -1 && row.targets[t + 1] == -1));
        value_of[row.tokens[t]] = row.tokens[t + 1];
        values.insert(row.tokens[t + 1]);
      }
      CHECK(value_of.size() == pairs);
      CHECK(values.size() == pairs);
      std::set<int64_t> asked;
      for (size_t t = 2 * pairs; t < row.tokens.size(); ++t) {
        if (row.tokens[t] == 0) {
          CHECK(row.targets[t] == -1);
          continue;
        }
        CHECK(t % 2 == 0);
        CHECK(row.targets[t] == value_of.at(row.tokens[t]));
        asked.insert(row.tokens[t]);
      }
      CHECK(asked.size() == pairs);
    }
}

TEST_CASE("mqar: random filler leaves no token 0 by rule, and queries where they were", "[tasks][mqar]") {
  const MadeTask made = make_task("task.kind = mqar; task.mqar.test = 256x8; task.mqar.filler = random");
  int64_t zeros = 0, scored = 0;
  for (uint64_t index = 0; index < 50; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {256, 8});
    zeros += std::count(row.tokens.begin(), row.tokens.end(), 0);
    for (const int64_t target : row.targets) scored += target >= 0;
  }
  CHECK(zeros < 80);  // 11 600 fillers, one in 512 is token 0: 23 expected
  CHECK(scored == 400);
}

TEST_CASE("mqar: no_keys fills with tokens that no key of the row is; echo puts the value behind its question", "[tasks][mqar]") {
  const MadeTask made = make_task("task.kind = mqar; task.mqar.vocab = 64; task.mqar.train = 64x8; task.mqar.test = 64x8; "
                                  "task.mqar.filler = no_keys; task.mqar.echo = true");
  std::set<int64_t> fillers;
  for (uint64_t index = 0; index < 50; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {64, 8});
    std::map<int64_t, int64_t> value_of;
    for (size_t t = 0; t < 16; t += 2) value_of[row.tokens[t]] = row.tokens[t + 1];
    for (size_t t = 16; t < 64; ++t) {
      CHECK((row.targets[t] >= 0) == (value_of.count(row.tokens[t]) == 1));
      if (row.targets[t] < 0) {
        fillers.insert(row.tokens[t]);
        continue;
      }
      CHECK(row.targets[t] == value_of.at(row.tokens[t]));
      CHECK(row.tokens[t + 1] == row.targets[t]);
    }
  }
  CHECK(fillers.size() == 64);
}

TEST_CASE("query slots: without replacement, first draw with weight a·g^(a−1)", "[tasks][mqar]") {
  constexpr int64_t kSpace = 40, kDraws = 40000;
  for (const double a : {0.01, 0.5, 1.0}) {
    const QuerySlots slots(kSpace, a);
    std::vector<double> share(kSpace, 0), expected(kSpace, 0);
    double total = 0;
    for (int64_t g = 1; g <= kSpace; ++g) total += expected[static_cast<size_t>(g - 1)] = a * std::pow(g, a - 1);
    Random random(1);
    for (int64_t i = 0; i < kDraws; ++i) share[static_cast<size_t>(slots.draw(random, 1)[0])] += 1.0 / kDraws;
    for (size_t g = 0; g < kSpace; ++g) {
      const double p = expected[g] / total;
      CHECK(std::abs(share[g] - p) < 5 * std::sqrt(p / kDraws));
    }
    const std::vector<int64_t> all = slots.draw(random, kSpace);
    CHECK(std::set<int64_t>(all.begin(), all.end()).size() == kSpace);
  }
}

TEST_CASE("query slots: the second draw has the weights that are left", "[tasks][mqar]") {
  const QuerySlots slots(3, 0.01);  // weights about 1, 1/2, 1/3
  Random random(2);
  std::map<std::vector<int64_t>, double> share;
  for (int i = 0; i < 30000; ++i) share[slots.draw(random, 2)] += 1 / 30000.0;
  const double w[] = {1, std::pow(2, -.99), std::pow(3, -.99)}, total = w[0] + w[1] + w[2];
  for (const auto& [pair, seen] : share) {
    const double first = w[pair[0]] / total, second = w[pair[1]] / (total - w[pair[0]]);
    CHECK(seen == Approx(first * second).margin(0.012));
  }
  CHECK(share.size() == 6);
}

TEST_CASE("rewrite: keys introduced, then rewritten with other values; every key asked once at the end",
          "[tasks][rewrite]") {
  const MadeTask made = make_task("task.kind = rewrite; task.rewrite.test = 8x8, 8x64, 16x512");
  for (const Setting& setting : made->test_settings())
    for (uint64_t index = 0; index < 20; ++index) {
      const size_t keys = static_cast<size_t>(setting[0]), writes = static_cast<size_t>(setting[1]);
      const Sample row = made->sample(Split::test, 1, index, setting);
      REQUIRE(row.tokens.size() == 2 * writes + keys);
      std::map<int64_t, int64_t> newest;
      for (size_t write = 0; write < writes; ++write) {
        const int64_t key = row.tokens[2 * write], value = row.tokens[2 * write + 1];
        CHECK(newest.count(key) == (write < keys ? 0 : 1));
        if (write >= keys) CHECK(newest[key] != value);
        newest[key] = value;
      }
      std::set<int64_t> asked;
      for (size_t t = 0; t < row.tokens.size(); ++t) {
        if (t < 2 * writes) {
          CHECK(row.targets[t] == -1);
          continue;
        }
        CHECK(row.targets[t] == newest.at(row.tokens[t]));
        asked.insert(row.tokens[t]);
      }
      CHECK(asked.size() == keys);
    }
}

TEST_CASE("rewrite: new values go to the keys by Zipf's law, or most to a hot one; which key that is is drawn", "[tasks][rewrite]") {
  constexpr int64_t kKeys = 8, kRewrites = 400, kRows = 200;
  const auto counts = [&](const std::string& more) {  // of new values by rank, all rows; and how often the first key of a row got most
    const MadeTask made = make_task("task.kind = rewrite; task.rewrite.test = 8x408; " + more);
    std::vector<double> sums(kKeys, 0);
    int64_t first = 0;
    for (uint64_t index = 0; index < kRows; ++index) {
      const Sample row = made->sample(Split::test, 1, index, {kKeys, kKeys + kRewrites});
      std::map<int64_t, int64_t> writes;
      for (size_t t = 2 * kKeys; t < 2 * (kKeys + kRewrites); t += 2) ++writes[row.tokens[t]];
      std::vector<int64_t> sorted;
      for (const auto& [key, count] : writes) sorted.push_back(count);
      sorted.resize(kKeys, 0);
      std::sort(sorted.rbegin(), sorted.rend());
      first += writes[row.tokens[0]] == sorted[0];
      for (size_t rank = 0; rank < kKeys; ++rank) sums[rank] += static_cast<double>(sorted[rank]) / (kRows * kRewrites);
    }
    CHECK(first < kRows / 3);
    return sums;
  };
  const std::vector<double> zipf = counts("task.rewrite.writes = zipf; task.rewrite.zipf_exponent = 2");
  double total = 0;
  for (int64_t rank = 1; rank <= kKeys; ++rank) total += 1.0 / static_cast<double>(rank * rank);
  for (size_t rank = 0; rank < 3; ++rank)  // ranks are told apart by their counts
    CHECK(zipf[rank] == Approx(1.0 / static_cast<double>((rank + 1) * (rank + 1)) / total).margin(0.01));
  const std::vector<double> hot = counts("task.rewrite.writes = hot; task.rewrite.hot_share = 0.8");
  CHECK(hot[0] == Approx(0.8).margin(0.01));
  for (size_t rank = 1; rank < kKeys; ++rank) CHECK(hot[rank] == Approx(0.2 / 7).margin(0.02));
  const std::vector<double> uniform = counts("task.rewrite.writes = uniform");
  CHECK(uniform[0] < 0.2);
  const std::vector<double> flat = counts("task.rewrite.writes = zipf; task.rewrite.zipf_exponent = 0");
  for (size_t rank = 0; rank < kKeys; ++rank) CHECK(flat[rank] == Approx(uniform[rank]).margin(0.01));
  const MadeTask one = make_task("task.kind = rewrite; task.rewrite.writes = hot; task.rewrite.test = 1x5; task.rewrite.train = 1x5");
  CHECK(one->sample(Split::test, 1, 0, {1, 5}).targets.back() >= 0);
}

TEST_CASE("rewrite: keys are asked in an order of their own", "[tasks][rewrite]") {
  const MadeTask made = make_task("task.kind = rewrite");
  int64_t same = 0;
  for (uint64_t index = 0; index < 400; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {8, 16});
    same += row.tokens[0] == row.tokens[32];  // the first key written is the first asked
  }
  CHECK(std::abs(same - 50) < 35);
}

TEST_CASE("rewrite: the previous value is asked of keys that were rewritten", "[tasks][rewrite]") {
  const MadeTask made = make_task("task.kind = rewrite; task.rewrite.ask = previous; task.rewrite.test = 8x12");
  for (uint64_t index = 0; index < 30; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {8, 12});
    for (size_t query = 24; query < 32; ++query) {
      std::vector<int64_t> values;
      for (size_t t = 0; t < 24; t += 2)
        if (row.tokens[t] == row.tokens[query]) values.push_back(row.tokens[t + 1]);
      CHECK(row.targets[query] == (values.size() < 2 ? -1 : values[values.size() - 2]));
    }
  }
}

TEST_CASE("induction: the special token at a random place and at the end; its follower is the answer",
          "[tasks][induction]") {
  const MadeTask made = make_task("task.kind = induction; task.length = 10; eval.lengths = 10, 4");
  CHECK(made->vocab() == 17);
  CHECK(made->chance() == 1.0 / 16);
  std::map<size_t, int64_t> places;
  for (uint64_t index = 0; index < 2000; ++index) {
    const Sample row = made->sample(Split::test, 1, index, {10});
    std::vector<size_t> special;
    for (size_t t = 0; t < 10; ++t)
      if (row.tokens[t] == 16) special.push_back(t);
    REQUIRE(special.size() == 2);
    CHECK(special[1] == 9);
    CHECK(row.targets[9] == row.tokens[special[0] + 1]);
    CHECK(std::count(row.targets.begin(), row.targets.end(), -1) == 9);
    ++places[special[0]];
  }
  CHECK(places.size() == 8);
  for (const auto& [place, count] : places) CHECK(std::abs(count - 250) < 80);
}

TEST_CASE("key-value tasks: settings that cannot be made are config problems, all at once", "[tasks][errors]") {
  const std::string mqar =
      error_of("task.kind = mqar; task.mqar.vocab = 32; task.mqar.train = 64x17, 63x4; task.mqar.test = 64x16");
  CHECK_THAT(mqar, Contains("task.mqar.train") && Contains("64x17: 64 tokens are too short for 17 pairs") &&
                       Contains("at least 4 x pairs = 68"));
  CHECK_THAT(mqar, Contains("63x4: the length must be even; use 64x4"));
  CHECK_THAT(mqar,
             Contains("task.mqar.test") && Contains("vocab = 32 has 15 keys, 16 are needed; set vocab to at least 34"));
  CHECK(error_of("task.kind = mqar; task.mqar.vocab = 34; task.mqar.train = 64x16; task.mqar.test = 64x16") == "");
  CHECK_THAT(error_of("task.kind = rewrite; task.rewrite.train = 8x7"),
             Contains("7 writes are too few for 8 keys") && Contains("at least 8"));
  CHECK_THAT(error_of("task.kind = rewrite; task.rewrite.ask = previous; task.rewrite.test = 8x8"),
             Contains("at least 9"));
  CHECK_THAT(error_of("task.kind = rewrite; task.rewrite.vocab = 16"), Contains("set vocab to at least 18"));
  CHECK_THAT(error_of("task.kind = induction; task.length = 3"),
             Contains("task.length = 3: too short") && Contains("at least 4"));
  CHECK_THAT(error_of("task.kind = induction; eval.lengths = 64, 2"), Contains("eval.lengths = 2: too short"));
}
