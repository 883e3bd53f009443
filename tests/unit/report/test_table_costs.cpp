// The columns beside results: what runs cost, how their rates were chosen, what was measured inside the models.
#include "tests/support/test.h"
#include "tests/unit/report/table_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("what was measured inside models is a column for each place, mean over layers and seeds", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs)
    run.probes = {{"layer0/memory/theta_mean", "1", "", {50, 100}, {9, 0.25}},
                  {"layer1/memory/theta_mean", "1", "", {50, 100}, {9, 0.75}},
                  {"text/python/layer0/memory/theta_mean", "1", "", {100}, {0.001 * static_cast<double>(run.info.seed)}}};
  runs.back().probes.clear();
  TableOptions options = by_length();
  options.probes = {"theta_mean"};
  const Table table = make_table(runs, options);
  REQUIRE(table.cost_columns.size() == 2);
  CHECK(table.cost_columns[1].name == "theta_mean text/python");
  CHECK(table.rows[1].costs[1].values.size() == 2);
  CHECK_THAT(table_text(table, "md"), Contains("theta_mean | theta_mean text/python |") && Contains("| 0.5 | 0.002 |") && Contains("| 0.5 (missing 1 of 3) | 0.0015 (missing 1 of 3) |"));
  for (RunRecord& run : runs)
    if (!run.probes.empty()) run.probes.back().name = "text/layer_a/layer0/memory/theta_mean";
  CHECK(make_table(runs, options).cost_columns[1].name == "theta_mean text/layer_a");
  options.probes = {"theta_men"};
  CHECK_THROWS_WITH(make_table(runs, options), Contains("theta_men") && Contains("theta_mean"));
}

TEST_CASE("costs stand beside results, with the steps to a target", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  runs[0].evaluations.insert(runs[0].evaluations.begin(), test::sample_evaluation(50, {96, 97}, "validation"));
  runs[3].cost.parameters = 71000;
  TableOptions options;
  options.columns = {"length"};
  options.target = 0.95;
  const std::string text = table_text(make_table(runs, options), "md");
  CHECK_THAT(text, Contains("steps to target | parameters | state, KiB | training tokens | tokens/s | peak, MiB | wall, s |"));
  CHECK_THAT(text, Contains("| 50 (never 2 of 3) | 70,000 | 4 | 25,600 | 9,000 | 300 | 12.5 |"));
  CHECK_THAT(text, Contains("| never 3 of 3 | 70,000–71,000 |"));
}

TEST_CASE("where a sweep chose the rate, trials and rate stand beside the costs, and an edge is told", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  TableOptions options = by_length();
  options.costs = true;
  CHECK_THAT(table_text(make_table(runs, options), "md"), !Contains("trials") && !Contains("learning rate"));
  for (RunRecord& run : runs) {
    const bool mag = run.label("arm") == "mag";
    set_value(run, "run.labels", mag ? "arm:mag, trials:3" : "arm:rope, trials:5, lr_edge:true");
    set_value(run, "train.lr", mag ? "0.004" : "0.064");
  }
  const Table table = make_table(runs, options);
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| wall, s | trials | learning rate |") && Contains(" 12.5 | 3 | 0.004 |") && Contains(" 12.5 | 5 | 0.064² |"));
  CHECK_THAT(text, Contains("² The best of the rates tried lies at their edge") && Contains("Trials: runs on a seed of their own"));
  CHECK_THAT(table_text(table, "csv"), Contains("rope,,learning rate,,cost,3,0.064,"));
}
