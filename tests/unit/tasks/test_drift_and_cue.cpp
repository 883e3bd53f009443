// Protocols of drift and cue, by readers that know the layout but not the code.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

// 64 tokens of pairs (keys 1 … 31, values 32 … 63), then noise to 71.
constexpr const char* kSmallDrift =
    "task.kind = drift; task.drift.vocab = 64; task.drift.noise_tokens = 8; task.drift.train = 4x2; task.drift.test = 4x2, 6x5";
constexpr const char* kSmallCue = "task.kind = cue; task.cue.vocab = 64; task.cue.noise_tokens = 8; task.cue.train = 4x8; task.cue.test = 4x8, 6x40";

bool is_key(int64_t token) { return token > 0 && token < 32; }
bool is_value(int64_t token) { return token >= 32 && token < 64; }

// What one regime's tokens say.
struct Regime {
  std::map<int64_t, std::vector<int64_t>> written;  // values by key, oldest first
  std::vector<int64_t> asked;                       // keys, in order
  int64_t noise = 0, marks = 0;
};

// Reads the tokens [first, first + count) and holds every question to what this regime wrote before it.
Regime read_regime(const Sample& row, size_t first, size_t count) {
  Regime regime;
  for (size_t t = first; t < first + count; ++t) {
    const int64_t token = row.tokens[t];
    if (row.targets[t] >= 0) {
      REQUIRE(is_key(token));
      REQUIRE(regime.written.count(token) == 1);  // never a fact of an earlier regime
      CHECK(row.targets[t] == regime.written[token].back());
      regime.asked.push_back(token);
    } else if (is_key(token)) {
      REQUIRE(t + 1 < first + count);
      REQUIRE(is_value(row.tokens[t + 1]));
      CHECK(row.targets[t + 1] == -1);
      regime.written[token].push_back(row.tokens[++t]);
    } else {
      REQUIRE_FALSE(is_value(token));
      if (token == 0) CHECK(t == first);
      ++(token == 0 ? regime.marks : regime.noise);
    }
  }
  return regime;
}

std::vector<Regime> regimes_of(const Sample& row, const Setting& setting) {
  const size_t each = row.tokens.size() / static_cast<size_t>(setting[1]);
  std::vector<Regime> all;
  for (size_t first = 0; first < row.tokens.size(); first += each) all.push_back(read_regime(row, first, each));
  return all;
}

}  // namespace

TEST_CASE("drift: each regime writes its own keys, asks of these only, and all of them at its end", "[tasks][drift]") {
  for (const bool marked : {false, true}) {
    const MadeTask made = make_task(std::string(kSmallDrift) + "; task.drift.noise = 0.2; task.drift.marked = " + (marked ? "true" : "false"));
    CHECK(made->vocab() == 72);
    CHECK(made->chance() == 1.0 / 32);
    CHECK(made->axes() == std::vector<std::string>{"keys", "regimes"});
    for (const Setting& setting : made->test_settings())
      for (uint64_t index = 0; index < 20; ++index) {
        const Sample row = made->sample(Split::test, 1, index, setting);
        REQUIRE(static_cast<int64_t>(row.tokens.size()) == made->length(setting));
        const size_t keys = static_cast<size_t>(setting[0]);
        std::set<int64_t> seen;
        for (const Regime& regime : regimes_of(row, setting)) {
          CHECK(regime.marks == marked);
          const double others = static_cast<double>(marked + 2 * (keys + keys / 2) + keys / 2 + keys);
          CHECK(regime.noise == std::llround(others / 4));  // a fifth of all tokens
          REQUIRE(regime.written.size() == keys);
          size_t writes = 0;
          for (const auto& [key, values] : regime.written) {
            CHECK(seen.insert(key).second);  // reused = 0
            writes += values.size();
            for (size_t i = 1; i < values.size(); ++i) CHECK(values[i] != values[i - 1]);
          }
          CHECK(writes == keys + keys / 2);
          REQUIRE(regime.asked.size() == keys + keys / 2);
          CHECK(std::set<int64_t>(regime.asked.end() - static_cast<std::ptrdiff_t>(keys), regime.asked.end()).size() == keys);
        }
      }
  }
}

TEST_CASE("drift: of a regime's keys a share comes back, with other values than they had", "[tasks][drift]") {
  for (const auto& [share, fresh] : std::vector<std::pair<std::string, size_t>>{{"0.5", 3}, {"1", 0}, {"0", 6}}) {
    const MadeTask made =
        make_task("task.kind = drift; task.drift.vocab = 64; task.drift.train = 6x5; task.drift.test = 6x5; task.drift.reused = " + share);
    for (uint64_t index = 0; index < 20; ++index) {
      std::map<int64_t, int64_t> before;
      const Sample row = made->sample(Split::train, 3, index, {6, 5});
      const size_t each = row.tokens.size() / 5;
      for (size_t at = 0; at < 5; ++at) {
        // The tokens of noise lie above 64 here: keys and values are as above.
        const Regime regime = read_regime(row, at * each, each);
        size_t others = 0;
        std::map<int64_t, int64_t> now = before;
        for (const auto& [key, values] : regime.written) {
          others += before.count(key) == 0;
          if (before.count(key)) CHECK(values.front() != before[key]);
          now[key] = values.back();
        }
        CHECK(others == (at == 0 ? 6 : fresh));
        before = now;
      }
    }
  }
}

TEST_CASE("drift: no questions between, no rewrites, no noise are settings too, and a question is asked in any order", "[tasks][drift]") {
  const MadeTask bare = make_task(std::string(kSmallDrift) + "; task.drift.noise = 0; task.drift.asks = 0; task.drift.rewrites = 0");
  CHECK(bare->length({4, 2}) == 24);
  int64_t same = 0;
  for (uint64_t index = 0; index < 400; ++index) {
    const Sample row = bare->sample(Split::test, 1, index, {4, 2});
    same += row.tokens[0] == row.tokens[8];  // the first key written is the first asked
  }
  CHECK(std::abs(same - 100) < 40);
  const MadeTask one = make_task("task.kind = drift; task.drift.train = 1x1; task.drift.test = 1x3; task.drift.rewrites = 4; task.drift.asks = 3");
  CHECK(one->sample(Split::test, 1, 0, {1, 3}).targets.size() == static_cast<size_t>(one->length({1, 3})));
}

TEST_CASE("cue: every key has one marked pair and is asked for it; the mark is 1 to distance tokens off, each as often", "[tasks][cue]") {
  for (const std::string side : {"before", "behind"}) {
    const MadeTask made = make_task(std::string(kSmallCue) + "; task.cue.distance = 3; task.cue.mark = " + side);
    CHECK(made->vocab() == 72);
    CHECK(made->chance() == 1.0 / 32);
    std::map<int64_t, int64_t> distances;
    int64_t newest_right = 0, asked_in_all = 0;
    for (const Setting& setting : made->test_settings())
      for (uint64_t index = 0; index < 100; ++index) {
        const Sample row = made->sample(Split::test, 1, index, setting);
        const size_t keys = static_cast<size_t>(setting[0]), pairs = static_cast<size_t>(setting[1]);
        REQUIRE(row.tokens.size() == 5 * pairs + keys);
        std::map<int64_t, int64_t> kept, newest;
        for (size_t block = 0; block < pairs; ++block) {
          const auto first = row.tokens.begin() + static_cast<std::ptrdiff_t>(5 * block);
          const size_t pair = side == "before" ? 3 : 0, noise = side == "before" ? 0 : 2;
          const int64_t key = first[pair], value = first[pair + 1];
          for (size_t t = 5 * block; t < 5 * block + 5; ++t) CHECK(row.targets[t] == -1);
          CHECK((is_key(key) && is_value(value)));
          newest[key] = value;
          for (size_t i = 0; i < 3; ++i) {
            if (first[noise + i] != 0) {
              CHECK(first[noise + i] >= 64);
              continue;
            }
            CHECK(kept.emplace(key, value).second);
            ++distances[side == "before" ? static_cast<int64_t>(3 - i) : static_cast<int64_t>(i + 1)];
          }
        }
        REQUIRE(kept.size() == keys);
        std::set<int64_t> asked;
        for (size_t t = 5 * pairs; t < row.tokens.size(); ++t) {
          CHECK(row.targets[t] == kept.at(row.tokens[t]));
          asked.insert(row.tokens[t]);
          if (setting[1] == 40) newest_right += newest.at(row.tokens[t]) == row.targets[t], ++asked_in_all;
        }
        CHECK(asked.size() == keys);
      }
    CHECK(distances.size() == 3);
    for (const auto& [distance, count] : distances) CHECK(std::abs(count - 1000.0 / 3) < 75);
    // One who keeps the newest value, marked or not: 1 / (1 + n) of a key's n others, n binomial of 34 draws among 6 keys.
    const double share = (1 - std::pow(5.0 / 6, 35)) / (35 / 6.0);
    CHECK(static_cast<double>(newest_right) / static_cast<double>(asked_in_all) == Approx(share).margin(0.06));
  }
}

TEST_CASE("drift and cue: settings that cannot be made are config problems", "[tasks][errors]") {
  CHECK_THAT(error_of("task.kind = drift; task.drift.vocab = 64; task.drift.train = 8x3; task.drift.test = 8x4"),
             Contains("task.drift.test") && Contains("8x4: vocab = 64 has 31 keys, 32 are needed with reused = 0") && Contains("at least 66"));
  CHECK(error_of("task.kind = drift; task.drift.vocab = 66; task.drift.train = 8x3; task.drift.test = 8x4") == "");
  CHECK(error_of("task.kind = drift; task.drift.vocab = 64; task.drift.train = 8x3; task.drift.test = 8x40; task.drift.reused = 1") == "");
  CHECK_THAT(error_of("task.kind = drift; task.drift.train ="), Contains("write keys x regimes"));
  CHECK_THAT(error_of("task.kind = drift; task.drift.noise = 1"), Contains("task.drift.noise") && Contains("0.99"));
  CHECK_THAT(error_of("task.kind = cue; task.cue.train = 8x7"), Contains("7 pairs are too few for 8 keys") && Contains("at least 8"));
  CHECK_THAT(error_of("task.kind = cue; task.cue.vocab = 16; task.cue.train = 4x8; task.cue.test = 8x8"), Contains("set vocab to at least 18"));
  CHECK_THAT(error_of("task.kind = cue; task.cue.distance = 0"), Contains("task.cue.distance"));
  CHECK_THAT(error_of("task.kind = cue; task.cue.mark = after"), Contains("before") && Contains("behind"));
}
