// What tables claim: differences, their p, what is bold.
#include <algorithm>

#include "mneme/random.h"
#include "report/table_compare.h"
#include "tests/support/test.h"
#include "tests/unit/report/table_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("differences are paired by seed, tested over seeds and rows, and corrected for their number", "[table]") {
  TableOptions options = by_length();
  options.against = "rope";
  std::vector<RunRecord> runs = six_runs();
  runs.pop_back();  // rope, seed 3: two pairs are left
  const Table table = make_table(runs, options);
  REQUIRE(table.differences.size() == 1);
  CHECK(table.comparisons == 2);
  const CellDifference &near = table.differences[0].cells[0], &far = table.differences[0].cells[1];  // 0.10, 0.06; 0.80, 0.74
  CHECK(near.seeds.n == 2);
  CHECK(near.seeds.mean == Approx(0.08));
  CHECK(near.seeds.half_width.value() == Approx(12.7062047 * 0.02));
  CHECK(near.seeds.p.value() == Approx(0.1560).margin(1e-4));  // t = 4 and 25.7, one degree of freedom: p = 1 − 2 atan(t) / π
  CHECK(far.seeds.p.value() == Approx(0.0248).margin(1e-4));
  CHECK(far.p_rows.value() == Approx(fisher_p({92, 100}, {15, 100})));  // of the two pairs, not of mag's third seed
  CHECK(near.p_holm.value() == Approx(1.0 / 3));  // corrected 0.156 and 0.0496, but two seeds can say no less
  CHECK(far.p_holm.value() == Approx(1.0 / 3));
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| mag | 2 | +8.0 ± 25.4, p 0.33 | +77.0 ± 38.1, p 0.33 |") && Contains("corrected for 2 comparisons"));
  options.against = "arm=rope";
  CHECK(table_text(make_table(runs, options), "csv").find("minus arm=rope") != std::string::npos);
  options.against = "nope";
  CHECK_THROWS_WITH(make_table(runs, options), Contains("no such row") && Contains("did you mean 'rope'") && Contains("mag; rope"));
}

TEST_CASE("a row is named by all its keys, or by those that tell it apart", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  TableOptions options = by_length();
  options.rows = {"arm", "model.width"};
  for (const std::string against : {"rope,64", "arm=rope", "arm=rope,model.width=64"}) {
    options.against = against;
    CHECK(make_table(runs, options).differences.at(0).keys == std::vector<std::string>{"mag", "64"});
  }
  options.against = "model.width=64";
  CHECK_THROWS_WITH(make_table(runs, options), Contains("several such rows"));
}

TEST_CASE("seeds that are not common are compared by Welch's test", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (size_t i : {3, 4, 5}) runs[i].info.seed += 10;
  TableOptions options = by_length();
  options.against = "rope";
  const Table table = make_table(runs, options);
  CHECK_FALSE(table.differences[0].cells[0].seeds.paired);
  CHECK_THAT(table_text(table, "md"), Contains("(Welch)"));
}

TEST_CASE("the best arm is bold only where chance does not explain its lead over every other one", "[table]") {
  const auto bold = [](const std::vector<std::vector<int64_t>>& exact) {  // of 100 rows; a row of it per arm, a value per seed
    std::vector<RunRecord> runs;
    for (size_t arm = 0; arm < exact.size(); ++arm)
      for (size_t seed = 0; seed < exact[arm].size(); ++seed)
        runs.push_back(test::sample_run("arm" + std::to_string(arm), static_cast<int64_t>(seed) + 1, {exact[arm][seed]}));
    const std::string text = table_text(make_table(runs, by_length()), "md");
    const size_t at = text.find("| **");
    return at == std::string::npos ? "" : text.substr(text.rfind('\n', at) + 3, 4);
  };
  CHECK(bold({{95, 94, 96, 95, 97}, {50, 55, 52, 49, 51}, {10, 12, 9, 11, 10}}) == "arm0");
  CHECK(bold({{50, 55, 52, 49, 51}, {95, 94, 96, 95, 97}, {94, 95, 96, 97, 95}}).empty());   // two are alike
  CHECK(bold({{99, 98, 99, 98, 99}, {97, 96, 97, 96, 97}}).empty());                         // seeds agree, 100 rows do not tell 2 points
  CHECK(bold({{100, 100, 100}, {99, 99, 99}}).empty());                                      // no spread is no proof
  CHECK(bold({{90, 20, 95, 90, 10}, {30, 31, 29, 30, 28}}).empty());                         // rows tell them apart, seeds do not
  CHECK(bold({{95}, {5}}).empty());                                                          // one seed
  CHECK(bold({{95, 94, 96, 95, 97}}).empty());                                               // nothing to compare
  CHECK(bold({{0, 0, 0}, {100, 100, 100}}).empty());                                         // three seeds alone claim nothing
  CHECK(bold({{0, 0, 0, 0}, {100, 100, 100, 100}}).empty());                                 // nor do four
  CHECK(bold({{0, 0, 0, 0, 0}, {100, 100, 100, 100, 100}}) == "arm1");
  CHECK(bold({{60, 60, 60, 60, 60, 100, 100, 100, 100, 100}, {65, 65, 65, 65, 65}}).empty());  // the better mean, worse seed by seed
}

TEST_CASE("runs that failed or diverged stop a claim, and are named", "[table]") {
  TableOptions options = by_length();
  options.against = "rope";
  const Table whole = make_table(ten_runs(), options);
  CHECK((whole.differences[0].cells[1].significant() && whole.best[1]->significant()));
  CHECK_THAT(table_text(whole, "md"), Contains("**+78.0"));
  for (const char* reason : {"failed", "diverged"})
    for (const size_t arm : {0, 1}) {
      std::vector<RunRecord> runs = ten_runs();
      runs.push_back(test::sample_run(arm ? "rope" : "mag", 6));
      runs.back().status = reason;
      const Table table = make_table(runs, options);
      const CellDifference& difference = table.differences[0].cells[1];
      CHECK(difference.seeds.n == 5);
      CHECK((!difference.p && !difference.significant() && !table.best[1]->significant()));
      CHECK_THAT(table_text(table, "md"), Contains("(" + std::string(reason) + " 1) |") && !Contains("**+78.0"));
    }
  std::vector<RunRecord> runs = ten_runs();
  runs.push_back(test::sample_run("lmm", 1));
  runs.back().status = "diverged";  // an arm that has no value is not beaten
  CHECK_FALSE(make_table(runs, by_length()).best[1]->significant());
}

TEST_CASE("a share whose counts are unknown is not claimed on seeds alone; a loss is", "[table]") {
  std::vector<RunRecord> runs = ten_runs();
  for (size_t i = 0; i < runs.size(); ++i) runs[i].evaluations[0].settings[1].sums = {0, 500, i < 5 ? 450 : 50, 0, i < 5 ? 125.0 : 500.0};
  TableOptions options = by_length();
  options.where = {{"length", "1024"}};
  options.against = "rope";
  for (const char* metric : {"exact_match", "loss"}) {
    options.metrics = {metric};
    const Table table = make_table(runs, options);
    const bool loss = options.metrics[0] == "loss";
    CHECK(table.differences[0].cells[0].p.has_value() == loss);
    CHECK((table.best[0] && table.best[0]->significant()) == loss);
  }
}

TEST_CASE("five seeds can claim among many comparisons", "[table]") {
  std::vector<RunRecord> runs;
  for (int arm = 0; arm < 10; ++arm)
    for (int64_t seed = 1; seed <= 5; ++seed) runs.push_back(test::sample_run("arm" + std::to_string(arm), seed, {(arm == 0 ? 5 : 95) + seed % 2}));
  TableOptions options = by_length();
  options.against = "arm0";
  const Table table = make_table(runs, options);
  CHECK(table.comparisons >= 9);
  for (const DifferenceRow& row : table.differences) {
    CHECK(row.cells[0].significant());
    CHECK(row.cells[0].p_holm.value() == Approx(2.0 / 252));  // what five seeds can say, however many comparisons there are
  }
}

TEST_CASE("of tables whose arms are all alike, one in twenty at most names a difference, and one a best arm", "[table]") {
  const bool all_or_nothing = GENERATE(false, true);  // what a seed learns
  Random random(5);
  const auto right_of_100 = [&](double rate) {
    int64_t right = 0;
    for (int row = 0; row < 100; ++row) right += random.uniform() < rate;
    return right;
  };
  TableOptions options = by_length();
  options.against = "arm0";
  int64_t differences = 0, best = 0;
  constexpr int64_t kTables = 400;
  for (int64_t index = 0; index < kTables; ++index) {
    std::vector<RunRecord> runs;
    for (int arm = 0; arm < 4; ++arm)
      for (int64_t seed = 1; seed <= 5; ++seed) {
        const double luck = all_or_nothing ? (random.uniform() < 0.5 ? 0 : 1) : 0.7 + 0.2 * random.uniform();
        runs.push_back(test::sample_run("arm" + std::to_string(arm), seed, {right_of_100(luck), right_of_100(luck)}));
        set_value(runs.back(), "eval.per_seed", "true");
      }
    const Table table = make_table(runs, options);
    differences += std::any_of(table.differences.begin(), table.differences.end(), [](const DifferenceRow& row) {
      return std::any_of(row.cells.begin(), row.cells.end(), [](const CellDifference& cell) { return cell.significant(); });
    });
    best += std::any_of(table.best.begin(), table.best.end(), [](const auto& claim) { return claim && claim->significant(); });
  }
  CHECK(differences > 0);  // a table that cannot claim anything would be no test
  CHECK(differences < 20 + 13);  // three standard deviations of a count
  CHECK(best < 20 + 13);
}
