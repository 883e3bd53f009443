// Cells, footers, columns and files of tables; which runs: test_table_select.cpp; costs: test_table_costs.cpp; comparisons: test_table_compare.cpp.
#include <cmath>
#include <filesystem>

#include "io/hdf5.h"
#include "mneme/random.h"
#include "report/table_compare.h"
#include "results/run_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"
#include "tests/unit/report/table_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("cells are the mean over seeds and its interval, and that over rows where it is wider", "[table]") {
  const Table table = make_table(six_runs(), by_length());
  REQUIRE(table.rows.size() == 2);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.columns[0].keys == std::vector<std::string>{"256"});
  CHECK(table.columns[0].metric == Metric::exact_match);
  const TableCell& cell = table.rows[0].cells[1];  // 0.90, 0.94, 0.80
  CHECK(mean(cell.values) == Approx(0.88));
  CHECK(standard_deviation(cell.values) == Approx(0.0721110255));
  CHECK(half_width(cell.values).value() == Approx(4.3026527 * 0.0721110255 / std::sqrt(3.0)));
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| arm | n | 256 | 1024 |"));
  CHECK_THAT(text, Contains("| mag | 3¹ | 99.0 ± 2.5 [94.6, 99.8] | 88.0 ± 17.9 |"));  // Wilson, 99 of 100
  CHECK_THAT(text, Contains("| rope | 3¹ | 94.0 ± 13.1 | 10.0 ± 24.8 |"));
  CHECK_THAT(text, Contains("Exact match in %") && Contains("¹ Fewer than 5 seeds."));
}

TEST_CASE("references are the last rows: once for all runs, without costs, and no part of what is compared", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs) {
    Evaluation& evaluation = run.evaluations[0];
    evaluation.metric = Metric::error;
    for (EvalSetting& entry : evaluation.settings) {
      entry.sums.loss = run.info.seed + (run.label("arm") == "mag" ? 100.0 : 400.0);
      entry.references = {{"nearest", test::sums(100, 500, 0, 0, 50)}, {"bayes", test::sums(100, 500, 0, 0, 5)}};
    }
  }
  TableOptions options = by_length();
  options.costs = true;
  options.against = "rope";
  const Table table = make_table(runs, options);
  REQUIRE(table.rows.size() == 4);
  CHECK(table.rows[2].keys == std::vector<std::string>{"bayes"});
  CHECK(table.rows[3].reference);
  CHECK(table.best[0]->row == 0);  // not the reference, which is better
  CHECK(table.differences.size() == 1);
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| bayes | 1 | 0.0100 | 0.0100 | – |") && Contains("| nearest | 1 | 0.1000 | 0.1000 | – |") &&
                       Contains("The last rows, of references"));
  options.rows = {"model.width", "arm"};
  options.against = "";
  const std::string two = table_text(make_table(runs, options), "md");
  CHECK_THAT(two, Contains("| bayes | – |"));
  for (RunRecord& run : runs) set_value(run, "eval.per_seed", "true");
  CHECK_THAT(table_text(make_table(runs, options), "md"), Contains("| bayes | – | 3¹ | 0.0100 ± 0.0000 |"));
  options.rows = {"task.kind"};
  options.where = {{"arm", "mag"}};
  CHECK(make_table(runs, options).rows.size() == 1);  // nothing there that a reference could stand for
  runs[1].evaluations[0].settings[0].references["bayes"].loss = 7;
  options.rows = {"arm"};
  CHECK_NOTHROW(make_table(runs, options));
  for (RunRecord& run : runs) set_value(run, "eval.per_seed", "false");
  CHECK_THROWS_WITH(make_table(runs, options), Contains("the reference bayes differs"));
}

TEST_CASE("a metric that the task does not have is refused", "[table]") {
  TableOptions options = by_length();
  options.metrics = {"error"};
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("no metric 'error'") && Contains("accuracy, exact_match, loss"));
}

TEST_CASE("one seed has the interval over its rows alone, a loss none", "[table]") {
  TableOptions options = by_length();
  const std::vector<RunRecord> one{test::sample_run("mag", 1, {100, 90})};
  CHECK_THAT(table_text(make_table(one, options), "md"), Contains("| mag | 1¹ | 100.0 [96.3, 100.0] | 90.0 [82.6, 94.5] |"));
  options.metrics = {"loss"};
  CHECK_THAT(table_text(make_table(one, options), "md"), Contains("| mag | 1¹ | 0.2500 | 0.2500 |"));
}

TEST_CASE("rows that every seed answers count once, rows of its own for each seed add up", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs)
    for (EvalSetting& entry : run.evaluations[0].settings) entry.sums = test::sums(600, 600, 600, 600, 1);
  const Table same = make_table(runs, by_length());
  for (RunRecord& run : runs) set_value(run, "eval.per_seed", "true");
  const Table own = make_table(runs, by_length());
  CHECK(counts_of(same.rows[0].cells[0], Metric::exact_match).trials == 600);
  CHECK(counts_of(own.rows[0].cells[0], Metric::exact_match).trials == 1800);
  CHECK_THAT(table_text(same, "md"), Contains("| rows per seed² |  | 600 | 600 |") && Contains("The same rows for every seed"));
  CHECK_THAT(table_text(own, "md"), Contains("| rows per seed |") && !Contains("The same rows"));
}

TEST_CASE("a mean over settings of unequal size has the interval over seeds, and as many rows as the smallest", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs) run.evaluations[0].settings[1].sums = test::sums(900, 4500, 0, 0, 1);  // 0 of 900 beside all of about 100
  TableOptions options = by_length();
  options.columns = {"task"};
  options.against = "rope";
  const Table table = make_table(runs, options);
  const TableCell& cell = table.rows[0].cells[0];  // 0.50, 0.49, 0.495; pooled it would be 0.099
  CHECK(counts_of(cell, Metric::exact_match).trials == 0);
  CHECK(rows_of_seed(cell) == 100);
  CHECK_FALSE(table.differences[0].cells[0].p_rows);
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("| mag | 3¹ | 49.5 ± 1.2 |") && Contains("| 100² |"));
}

TEST_CASE("rows are of each seed's own only where every run drew its own", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (size_t i : {1, 2, 3, 4, 5}) set_value(runs[i], "eval.per_seed", "true");  // all but the first of mag
  const Table table = make_table(runs, by_length());
  CHECK_FALSE(table.rows[0].cells[0].own_rows);
  CHECK(table.rows[1].cells[0].own_rows);
}

TEST_CASE("few rows and unknown ones are said, not invented", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs) run.evaluations[0].settings[1].sums = {0, 500, 450, 0, 125};  // a file without counts of rows
  TableOptions options = by_length();
  options.metrics = {"accuracy"};
  const Table table = make_table(runs, options);
  CHECK_THAT(table_text(table, "md"), Contains("| rows per seed³ |  | 100² | unknown |") && Contains("² Fewer than 512 rows.") && Contains("| mag | 3¹ |"));
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
  CHECK_THAT(text, Contains("98.5 ± 6.4 (diverged 1 of 3)"));
  CHECK_THAT(text, Contains("80.0 [71.1, 86.7] (diverged 1 of 3, missing 1 of 3)"));
  CHECK_THAT(table_text(table, "csv"), Contains("rope,256,exact_match,1,result,0,,,,,,,,,,3,0,0,0,0"));
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

TEST_CASE("a row axis with names shows them; the rows of the other row axes count together", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  for (RunRecord& run : runs)
    for (Evaluation& evaluation : run.evaluations) {
      evaluation.row_axes = {"depth_percent", "text"};
      evaluation.row_names["text"] = {"licences", "python"};
      for (EvalSetting& entry : evaluation.settings)
        entry.slices = {{{0, 0}, test::sums(10, 10, 10, 10, 1)}, {{0, 1}, test::sums(20, 20, 10, 10, 1)}, {{50, 0}, test::sums(30, 30, 0, 0, 1)}};
    }
  TableOptions options = by_length();
  options.columns = {"text"};
  options.where = {{"length", "256"}};
  const Table table = make_table(runs, options);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.columns[0].keys == std::vector<std::string>{"licences"});
  CHECK(mean(table.rows[0].cells[0].values) == Approx(0.25));  // 10 of 40, not the mean of 10 of 10 and 0 of 30
  CHECK(!table.rows[0].cells[0].averaged);
  CHECK(table.rows[0].cells[0].sums[0].rows == 40);
  CHECK(mean(table.rows[0].cells[1].values) == Approx(0.5));
  options.where.push_back({"text", "python"});
  CHECK(make_table(runs, options).columns.size() == 1);
  for (RunRecord& run : runs) set_value(run, "run.labels", run.value("run.labels") + ", text:novels");  // a sweep's own axis of that name
  options.where.pop_back();
  CHECK(make_table(runs, options).columns.at(0).keys == std::vector<std::string>{"novels"});
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
  TableOptions options = by_length();
  options.against = "rope";
  const Table table = make_table(runs, options);
  write_table_h5(folder / "t.h5", runs, table);
  CHECK(std::filesystem::file_size(folder / "t.h5") < 1 << 20);
  const std::vector<RunRecord> read = read_runs({folder / "t.h5"});
  for (const std::string format : {"csv", "md", "tex"}) CHECK(table_text(make_table(read, options), format) == table_text(table, format));
  CHECK(read[0].train.size() == 100);
  CHECK(read[0].train.back().step == 20000);

  const h5::File file = h5::File::open(folder / "t.h5");  // its numbers, without our program
  const auto column = [&](const std::string& name, const std::string& of) {
    for (const h5::Column& each : file.read_table("table/" + of))
      if (each.name == name) return std::visit([](const auto& values) { return std::vector<double>(values.begin(), values.end()); }, each.values);
    return std::vector<double>();
  };
  CHECK(file.dataset("table/rows").read_text() == std::vector<std::string>{"mag", "rope"});
  CHECK(file.dataset("table/columns").read_text() == std::vector<std::string>{"256", "1024", "4096", "16384"});
  CHECK(column("mean", "results")[1] == Approx(0.9));
  CHECK(column("rows", "results")[1] == 100);
  CHECK(column("n", "results") == std::vector<double>(8, 30));
  CHECK(column("mean", "differences") == std::vector<double>(4, 0));
  CHECK(column("p_holm", "differences") == std::vector<double>(4, 1));
}

TEST_CASE("LaTeX is escaped", "[table]") {
  std::vector<RunRecord> runs = ten_runs();
  for (RunRecord& run : runs)
    if (run.label("arm") == "mag") set_value(run, "run.labels", "arm:mag_linear, task:needle");
  const std::string text = table_text(make_table(runs, by_length()), "tex");
  CHECK_THAT(text, Contains("mag\\_linear & 5 & 99.0 $\\pm$ 0.9 [94.6, 99.8] & \\textbf{88.0 $\\pm$ 6.3 [80.2, 93.0]} \\\\"));
}

TEST_CASE("a value that is not finite is none: counted in its cell, not in means, and no row is better for it", "[table]") {
  std::vector<RunRecord> runs = ten_runs();
  EvalSums& sums = runs[2].evaluations[0].settings[1].sums;
  sums.loss = std::nan("");
  sums.not_finite = 3;
  runs[2].error = "on the test split, answers are not finite at 1024 (3 of 100 rows)";
  TableOptions options = by_length();
  options.against = "rope";
  const Table table = make_table(runs, options);
  const TableCell& cell = table.rows[0].cells[1];
  CHECK(cell.values.size() == 4);
  CHECK(cell.absent.at("not finite") == 1);
  CHECK(table.rows[0].cells[0].values.size() == 5);  // the other column has all
  CHECK_FALSE(table.differences[0].cells[1].p);
  const std::string text = table_text(table, "md");
  CHECK_THAT(text, Contains("not finite 1 of 5") && Contains(runs[2].info.run_id + ": done: on the test split, answers are not finite") && !Contains("nan"));
  CHECK_THAT(table_text(table, "csv"), Contains(",never,not finite\n"));
}
