#include <filesystem>
#include <sstream>

#include "mneme/errors.h"
#include "mneme/random.h"
#include "report/table.h"
#include "results/run_file.h"
#include "tests/support/sample_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

TableOptions by_length() {
  TableOptions options;
  options.columns = {"length"};
  options.costs = false;
  return options;
}

/// Two arms, three seeds; exact matches of 100 rows at lengths 256 and 1024.
std::vector<RunRecord> six_runs() {
  return {test::sample_run("mag", 1, {100, 90}), test::sample_run("mag", 2, {98, 94}), test::sample_run("mag", 3, {99, 80}),
          test::sample_run("rope", 1, {90, 10}), test::sample_run("rope", 2, {92, 20}), test::sample_run("rope", 3, {100, 0})};
}

void set_value(RunRecord& run, const std::string& key, const std::string& value) {
  for (auto& [name, text] : run.info.values)
    if (name == key) {
      text = value;
      return;
    }
  run.info.values.emplace_back(key, value);
}

}  // namespace

TEST_CASE("cells are mean and sample standard deviation over seeds", "[table]") {
  const Table table = make_table(six_runs(), by_length());
  REQUIRE(table.rows.size() == 2);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.columns[0].keys == std::vector<std::string>{"256"});
  CHECK(table.columns[0].metric == Metric::exact_match);
  const TableCell& cell = table.rows[0].cells[1];  // 0.90, 0.94, 0.80
  CHECK(mean(cell.values) == Approx(0.88));
  CHECK(standard_deviation(cell.values) == Approx(0.0721110255));
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| arm | n | 256 | 1024 |"));
  CHECK_THAT(text, Contains("| mag | 3 | 99.0 ± 1.0 | 88.0 ± 7.2 |"));
  CHECK_THAT(text, Contains("| rope | 3 | 94.0 ± 5.3 | 10.0 ± 10.0 |"));
  CHECK_THAT(text, Contains("Exact match in %"));
}

TEST_CASE("paired differences go seed by seed", "[table]") {
  TableOptions options = by_length();
  options.paired_with = "rope";
  std::vector<RunRecord> runs = six_runs();
  runs[5].status = "failed";  // rope, seed 3: two pairs are left
  const Table table = make_table(runs, options);
  REQUIRE(table.differences.size() == 1);
  const TableCell& cell = table.differences[0].cells[0];  // 1.00 - 0.90, 0.98 - 0.92
  CHECK(cell.values.size() == 2);
  CHECK(mean(cell.values) == Approx(0.08));
  CHECK(standard_deviation(cell.values) == Approx(0.0282842712));
  CHECK_THAT(table_text(table, "md"), Contains("| mag | 2 | +8.0 ± 2.8 | +77.0 ± 4.2 |"));
  options.paired_with = "nope";
  CHECK_THROWS_WITH(make_table(runs, options), Contains("no such row") && Contains("mag; rope"));
}

TEST_CASE("runs without a value are counted in their cells, never dropped", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  runs[0].status = "diverged";
  runs[0].error = "loss is not finite at step 20";
  runs[1].evaluations[0].settings.pop_back();
  for (size_t i : {3, 4, 5}) {
    runs[i].status = "failed";
    runs[i].evaluations.clear();
  }
  const Table table = make_table(runs, by_length());
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("diverged 1 of 3"));
  CHECK_THAT(text, Contains("diverged 1 of 3, missing 1 of 3"));
  CHECK_THAT(text, Contains("| rope | 0 (failed 3 of 3) | – | – |"));
  CHECK_THAT(text, Contains("demo-mag-1: diverged: loss is not finite at step 20"));
  CHECK_THAT(text, Contains("98.5 ± 0.7 (diverged 1 of 3)"));
  CHECK_THAT(text, Contains("80.0 (diverged 1 of 3, missing 1 of 3)"));
  CHECK_THAT(table_text(table, "csv"), Contains("rope,256,exact_match,1,result,0,,,3,0,0,0,0"));
}

TEST_CASE("runs of several code versions are refused unless allowed", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  runs[2].info.code_version = "0.1.0+bbbb";
  TableOptions options = by_length();
  CHECK_THROWS_AS(make_table(runs, options), StoreError);
  CHECK_THROWS_WITH(make_table(runs, options), Contains("0.1.0+bbbb: demo-mag-3") && Contains("0.1.0+aaaa: demo-mag-1"));
  options.where = {{"code_version", "0.1.0+aaaa"}};
  CHECK(make_table(runs, options).rows[0].cells[0].values.size() == 2);
  options.where.clear();
  options.allow_mixed_versions = true;
  CHECK_THAT(table_text(make_table(runs, options), "md"), Contains("2 code versions"));
}

TEST_CASE("repetitions that are not repetitions are refused with the key that differs", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  runs.push_back(test::sample_run("mag", 1));
  runs.back().info.run_id = "demo-mag-wide";
  set_value(runs.back(), "model.width", "128");
  TableOptions options = by_length();
  CHECK_THROWS_WITH(make_table(runs, options), Contains("model.width (64, 128)") && Contains("demo-mag-wide"));
  options.rows = {"arm", "model.width"};
  CHECK(make_table(runs, options).rows.size() == 3);
  options.rows = {"arm"};
  options.where = {{"model.width", "64"}};
  CHECK(make_table(runs, options).rows[0].cells[0].values.size() == 3);
}

TEST_CASE("seeds of different experiments are refused with the key that differs; where and how they ran may differ", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  set_value(runs[1], "runtime.threads", "7");
  CHECK_NOTHROW(make_table(runs, by_length()));
  set_value(runs[1], "model.width", "128");
  CHECK_THROWS_WITH(make_table(runs, by_length()), Contains("different experiments") && Contains("model.width (64, 128)") && Contains("demo-mag-2"));
  TableOptions options = by_length();
  options.rows = {"arm", "model.width"};
  CHECK(make_table(runs, options).rows.size() == 3);
}

TEST_CASE("columns can be axes, slices, tasks and config keys", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  TableOptions options = by_length();
  options.columns = {"length", "depth_percent"};
  const Table sliced = make_table(runs, options);
  REQUIRE(sliced.columns.size() == 4);
  CHECK(mean(sliced.rows[0].cells[1].values) == Approx(30.0 / 40));

  for (RunRecord run : {test::sample_run("mag", 1), test::sample_run("rope", 1)}) {
    run.info.run_id += "-rewrite";
    set_value(run, "run.labels", "arm:" + run.label("arm") + ", task:rewrite");
    set_value(run, "task.kind", "rewrite");
    run.evaluations[0].task = "rewrite";
    run.evaluations[0].metric = Metric::accuracy;
    run.evaluations[0].axes = {"keys", "writes"};
    run.evaluations[0].settings[0].setting = {8, 512};
    run.evaluations[0].settings[1].setting = {8, 2048};
    runs.push_back(run);
  }
  options.columns = {"task", "setting"};
  const std::string text = table_text(make_table(runs, options), "md");
  CHECK_THAT(text, Contains("needle 256 exact_match, %") && Contains("rewrite 8x2048 accuracy, %"));
  CHECK_THAT(text, !Contains("missing"));  // a run of one task is not missing in the other's columns
  options.columns = {"setting"};
  options.where = {{"task", "rewrite"}};
  CHECK(make_table(runs, options).columns.size() == 2);
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

TEST_CASE("learning-rate trials stay out of tables", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  runs.push_back(test::sample_run("mag", 100));
  set_value(runs.back(), "run.labels", "arm:mag, task:needle, tuning:lr");
  CHECK(make_table(runs, by_length()).rows[0].cells[0].values.size() == 3);
  TableOptions options = by_length();
  options.where = {{"tuning", "lr"}};
  CHECK(make_table(runs, options).rows.size() == 1);
}

TEST_CASE("wrong names are answered with the nearest right one", "[table]") {
  TableOptions options = by_length();
  options.rows = {"model.widht"};
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("model.widht") && Contains("did you mean 'model.width'"));
  options = by_length();
  options.metrics = {"acuracy"};
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("'accuracy'"));
  options = by_length();
  options.where = {{"arm", "none"}};
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("none of the 6 runs") && Contains("arm=none"));
  CHECK_THROWS_AS(table_text(make_table(six_runs(), by_length()), "xml"), UsageError);
}

TEST_CASE("the table made from its own NAME.h5 is the same, and sixty long runs fit in 1 MiB", "[table]") {
  test::TemporaryFolder folder;
  std::vector<RunRecord> runs;
  Random noise(1, "noise", 0);
  for (int64_t seed = 1; seed <= 30; ++seed)
    for (const std::string arm : {"mag", "rope"}) {
      RunRecord run = test::sample_run(arm, seed, {100, 90, 80, 70});
      run.train.clear();
      for (int64_t step = 1; step <= 20000; ++step) run.train.push_back(test::train_row(step, noise.uniform()));
      for (int key = 0; key < 100; ++key) run.info.values.emplace_back("memory.option_" + std::to_string(key), "value");
      run.info.config_ini = std::string(3000, 'c') + std::to_string(seed);
      for (EvalSetting& entry : run.evaluations[0].settings)
        for (int64_t depth = 0; depth < 100; depth += 10) entry.slices[{depth}] = test::sums(10, 50, 40, 5, noise.uniform());
      runs.push_back(std::move(run));
    }
  const TableOptions options = by_length();
  write_table_h5(folder / "t.h5", runs, options);
  CHECK(std::filesystem::file_size(folder / "t.h5") < 1 << 20);
  const std::vector<RunRecord> read = read_runs({folder / "t.h5"});
  CHECK(table_text(make_table(read, options), "csv") == table_text(make_table(runs, options), "csv"));
  CHECK(read[0].train.size() == 100);
  CHECK(read[0].train.back().step == 20000);
}

TEST_CASE("LaTeX is escaped", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs)
    if (run.label("arm") == "mag") set_value(run, "run.labels", "arm:mag_linear, task:needle");
  const std::string text = table_text(make_table(runs, by_length()), "tex");
  CHECK_THAT(text, Contains("mag\\_linear & 3 & 99.0 $\\pm$ 1.0 & 88.0 $\\pm$ 7.2 \\\\"));
}
