#include "config/lr_grid.h"

#include <algorithm>

#include "tests/support/test.h"

using namespace mneme;
using State = RateTrial::State;

namespace {

RateTrial done(double rate, double value, double loss = 1) { return {rate, State::done, value, loss}; }
RateTrial other(double rate, State state) { return {rate, state, 0, 0}; }

RateChoice choose(const std::vector<RateTrial>& trials, int64_t extensions = 2) { return choose_rate(trials, Metric::accuracy, extensions); }

/// Rate of the best one.
double best(const std::vector<RateTrial>& trials) { return trials.at(choose(trials).best.value()).rate; }

}  // namespace

TEST_CASE("lr grid: the best one inside is chosen, whatever the order", "[config][lr_grid]") {
  std::vector<RateTrial> trials{done(1e-3, 0.5), done(4e-3, 0.9), done(16e-3, 0.7)};
  do {
    const RateChoice choice = choose(trials);
    CHECK(trials[choice.best.value()].rate == 4e-3);
    CHECK_FALSE((choice.at_edge || choice.open || choice.next));
  } while (std::next_permutation(trials.begin(), trials.end(), [](const auto& a, const auto& b) { return a.rate < b.rate; }));
}

TEST_CASE("lr grid: it grows by its own ratio on the side of the best one, as often as allowed", "[config][lr_grid]") {
  CHECK(choose({done(1e-3, 0.5), done(4e-3, 0.6), done(16e-3, 0.7)}).next == 64e-3);
  CHECK(choose({done(1e-2, 0.5), done(3e-2, 0.6)}).next == 0.09);       // not 0.08999999999999999
  CHECK(choose({done(1e-3, 0.9), done(3e-3, 0.6), done(1e-2, 0.1)}).next == 0.000333333);
  std::vector<RateTrial> trials{done(1, 0.5), done(2, 0.6)};            // the higher, the better, without end
  for (int64_t left = 2; left > 0; --left) {
    const RateChoice choice = choose(trials, left);
    CHECK(choice.at_edge);
    CHECK(choice.next == 2 * trials.back().rate);
    trials.push_back(done(choice.next.value(), trials.back().value + 0.1));
  }
  CHECK(trials.back().rate == 8);
  CHECK_FALSE(choose(trials, 0).next);
  CHECK(choose(trials, 0).at_edge);
  trials.push_back(done(16, 0));
  CHECK_FALSE((choose(trials).next || choose(trials).at_edge));
}

TEST_CASE("lr grid: ties go to the lower loss, then to the lower rate", "[config][lr_grid]") {
  CHECK(best({done(1, 1, 0.2), done(2, 1, 0.1), done(4, 1, 0.3)}) == 2);
  CHECK(best({done(4, 1, 0.2), done(2, 1, 0.2), done(1, 0.9, 0.1)}) == 2);
  CHECK(choose_rate({done(1, 1.5), done(2, 1.2), done(4, 1.3)}, Metric::loss, 2).best == 1);  // there lower is better
}

TEST_CASE("lr grid: a diverged trial is worse than any value, and bounds the best one", "[config][lr_grid]") {
  const RateChoice inside = choose({done(1, 0), done(2, 0.1), other(4, State::diverged)});
  CHECK(inside.best == 1);
  CHECK_FALSE((inside.at_edge || inside.next));
  const RateChoice low = choose({done(1, 0), other(2, State::diverged), other(4, State::diverged)});
  CHECK(low.best == 0);
  CHECK(low.next == 0.5);
  const RateChoice none = choose({other(1, State::diverged), other(2, State::diverged)});
  CHECK_FALSE(none.best);
  CHECK(none.next == 0.5);
  CHECK_FALSE(choose({other(1, State::diverged), other(2, State::diverged)}, 0).next);
}

TEST_CASE("lr grid: a failed trial says nothing, so that the edge stays open and nothing is tried beyond it", "[config][lr_grid]") {
  const RateChoice choice = choose({done(1, 0.1), done(2, 0.2), other(4, State::failed)});
  CHECK(choice.best == 1);
  CHECK(choice.at_edge);
  CHECK_FALSE(choice.next);
  const RateChoice failed = choose({other(1, State::failed), other(2, State::diverged)});
  CHECK_FALSE((failed.best || failed.next || failed.open));
}

TEST_CASE("lr grid: nothing is chosen while a trial is open; one rate alone is an edge that has no ratio", "[config][lr_grid]") {
  const RateChoice open = choose({done(1, 0.1), done(2, 0.2), other(4, State::open)});
  CHECK(open.open);
  CHECK_FALSE((open.next || open.at_edge));
  CHECK_FALSE(choose({done(25, 0.1), done(100, 0.2)}).next);  // no rate is above 100
  const RateChoice one = choose({done(1, 0.1)});
  CHECK(one.at_edge);
  CHECK_FALSE(one.next);
}
