// Which runs a table is made from, how they are named, and what it refuses.
#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/unit/report/table_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("runs that have no row are named, and where none has one there is no table", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  set_value(runs[0], "run.labels", "task:needle");
  CHECK_THAT(table_text(make_table(runs, by_length()), "md"), Contains("1 of 6 runs have no arm and are left out: " + runs[0].info.run_id));
  TableOptions options = by_length();
  options.rows = {"model.width"};
  for (RunRecord& run : runs) set_value(run, "model.width", "");
  CHECK_THROWS_WITH(make_table(runs, options), Contains("6 of 6 runs have no model.width"));
}

TEST_CASE("rows have a key", "[table]") {
  TableOptions options = by_length();
  options.rows.clear();
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("--rows") && Contains("--rows arm"));
}

TEST_CASE("the machine is named, and instruction sets that are pooled", "[table]") {
  std::vector<RunRecord> runs = six_runs();
  CHECK_THAT(table_text(make_table(runs, by_length()), "md"), Contains("Run on a CPU, avx2, 2 threads;") && !Contains("pooled"));
  runs[0].info.engine = "";
  runs[1].info.engine = "avx512";
  const std::string text = table_text(make_table(runs, by_length()), "md");
  CHECK_THAT(text, Contains("a CPU, avx512, 2 threads (1 run)") && Contains("instruction set not recorded, 2 threads (1 run)"));
  CHECK_THAT(text, Contains("- runs of several instruction sets are pooled: avx2 (4 runs), avx512 (1 run), instruction set not recorded (1 run)"));
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
  options.where = {{"length", "3"}};
  CHECK_THROWS_WITH(make_table(six_runs(), options), Contains("nothing that was measured is left by --where length=3: length is "));
  CHECK_THROWS_AS(table_text(make_table(six_runs(), by_length()), "xml"), UsageError);
}
