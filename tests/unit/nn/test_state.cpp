// Rows of different age in one state: each comes out as it went in.
#include "tests/support/tensors.h"

#include "mneme/state.h"

using namespace mneme;
using namespace mneme::test;

namespace {

State state_of(int64_t rows, int64_t waiting, int64_t position) {
  State state;
  state.position = position;
  state.tensor("weights") = normal({rows, 2, 3});
  if (waiting > 0) state.child("group").tensor("pending") = normal({rows, 2, waiting});
  state.child("group").position = position + 4;
  return state;
}

void require_equal(const State& a, const State& b) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO(x[i].first);
    REQUIRE(x[i].first == y[i].first);
    REQUIRE(at::equal(x[i].second, y[i].second));
  }
}

at::Tensor index(std::vector<int64_t> rows) { return at::tensor(rows, at::kLong); }

}  // namespace

TEST_CASE("rows that hold different amounts, or nothing, come out as they went in", "[nn][state]") {
  torch::manual_seed(1);
  const State five = state_of(2, 5, 5), two = state_of(1, 2, 2), none = state_of(3, 0, 8);
  const State all = State::join({five, two, none}, {2, 1, 3});
  REQUIRE(all.position == 8);
  REQUIRE(at::equal(all.clock(6), index({5, 5, 2, 8, 8, 8})));
  REQUIRE(all.differing_clocks().size(0) == 2);
  require_equal(all.rows(index({0, 1})), five);
  require_equal(all.rows(index({2})), two);
  require_equal(all.rows(index({3, 4, 5})), none);
  const State mixed = all.rows(index({5, 2, 0}));
  require_equal(mixed.rows(index({1})), two);
  require_equal(State::join({mixed, two}, {3, 1}).rows(index({2})), five.rows(index({0})));
  require_equal(State::unflatten(mixed.flatten()).rows(index({1})), two);
  require_equal(mixed.clone().rows(index({0})), none.rows(index({2})));
}

TEST_CASE("rows whose clocks agree in what matters run at one clock and keep their distance", "[nn][state]") {
  torch::manual_seed(2);
  const State before = State::join({state_of(1, 3, 3), state_of(1, 3, 11)}, {1, 1});
  State together = before.aligned();
  REQUIRE_FALSE(together.differing_clocks().defined());
  REQUIRE(together.position == 3);
  together.advance(6);
  together.child("group").advance(6);
  together.unalign(before);
  REQUIRE(at::equal(together.clock(2), index({9, 17})));
  REQUIRE(at::equal(together.child("group").clock(2), index({13, 21})));
}

TEST_CASE("state bytes count what a row holds, not clocks", "[nn][state]") {
  State state;
  state.tensor("weights") = at::zeros({4, 10});
  state.tensor("_buffer") = at::zeros({4, 100});
  const int64_t bytes = state.bytes_per_row();
  REQUIRE(bytes == 40);
  state.set_clock(index({1, 2, 3, 4}));
  REQUIRE(state.bytes_per_row() == bytes);
  REQUIRE_FALSE(state.empty());
  REQUIRE(State().empty());
}
