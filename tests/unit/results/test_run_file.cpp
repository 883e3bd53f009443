#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/files.h"
#include "io/hdf5.h"
#include "mneme/errors.h"
#include "results/run_file.h"
#include "results/run_layout.h"
#include "tests/support/sample_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

std::string saved(const test::TemporaryFolder& folder, const RunRecord& run) {
  atomic_write(folder / "run.h5", run_file_bytes(run));
  return folder / "run.h5";
}

/// Whether two runs make the same run.h5, which holds everything there is of a run.
bool same_bytes(const RunRecord& a, const RunRecord& b) { return run_file_bytes(a) == run_file_bytes(b); }

}  // namespace

TEST_CASE("a run reads back from run.h5 as it was", "[run_file]") {
  test::TemporaryFolder folder;
  RunRecord run = test::sample_run();
  run.status = "failed";
  run.error = "loss is not finite";
  run.info.code_dirty = true;
  const RunRecord read = read_run(saved(folder, run));
  CHECK(read.info.run_id == run.info.run_id);
  CHECK(read.info.config_ini == run.info.config_ini);
  CHECK(read.info.code_dirty);
  CHECK(read.status == "failed");
  CHECK(read.error == "loss is not finite");
  CHECK(read.value("model.width") == "64");
  CHECK(read.label("arm") == "mag");
  CHECK(read.label("task") == "needle");
  REQUIRE(read.train.size() == run.train.size());
  CHECK(read.train[3].step == 40);
  CHECK(read.train[3].loss == run.train[3].loss);
  REQUIRE(read.evaluations.size() == 1);
  const Evaluation& evaluation = read.evaluations[0];
  CHECK(evaluation.metric == Metric::exact_match);
  CHECK(evaluation.axes == std::vector<std::string>{"length"});
  REQUIRE(evaluation.settings.size() == 2);
  CHECK(evaluation.settings[1].setting == Setting{1024});
  CHECK(evaluation.settings[1].sums.exact == 90);
  CHECK(evaluation.settings[1].sums.loss == Approx(125));
  CHECK(evaluation.settings[1].state_bytes == 4096);
  CHECK(evaluation.settings[0].slices == run.evaluations[0].settings[0].slices);
  REQUIRE(read.probes.size() == 1);
  CHECK(read.probes[0].name == "layer0/write_rate");
  CHECK(read.probes[0].values == std::vector<double>{0.1, 0.2});
  CHECK(read.cost.parameters == 70000);
  CHECK(read.cost.wall_seconds == 12.5);
  CHECK(read_run(folder.path()).info.run_id == run.info.run_id);
}

TEST_CASE("a run of a task of vectors reads back, alone and among others: one metric, references, the unit of its training loss", "[run_file]") {
  test::TemporaryFolder folder;
  RunRecord run = test::sample_run();
  run.info.training_loss = "error";
  for (Evaluation& evaluation : run.evaluations) {
    evaluation.metric = Metric::error;
    for (EvalSetting& entry : evaluation.settings) {
      entry.slices.clear();
      entry.references = {{"bayes", test::sums(100, 500, 0, 0, 20)}, {"nearest", test::sums(100, 500, 0, 0, 250)}};
    }
    evaluation.settings[1].references.erase("nearest");
  }
  const std::string one = saved(folder, run), many = folder / "many.h5";
  write_runs(many, {run, test::sample_run("rope")});
  for (const RunRecord& read : {read_run(one), read_runs({many}).at(0)}) {
    CHECK(read.training_metric() == Metric::error);
    const Evaluation& evaluation = read.evaluations.at(0);
    CHECK(evaluation.metric == Metric::error);
    REQUIRE(evaluation.settings.size() == 2);
    CHECK(evaluation.settings[0].sums.loss == Approx(run.evaluations[0].settings[0].sums.loss));
    REQUIRE(evaluation.settings[0].references.size() == 2);
    CHECK(evaluation.settings[0].references.at("nearest").loss == Approx(250));
    CHECK(evaluation.settings[1].references.size() == 1);
  }
  CHECK(read_runs({many}).at(1).training_metric() == Metric::loss);
  const h5::File file = h5::File::open(one);
  CHECK_THAT(file.dataset("train").text("units"), Contains("loss: 1 per scored position"));
  const std::vector<std::string> names = file.group("eval/needle/test").names();
  CHECK(std::count(names.begin(), names.end(), "error") == 1);
  CHECK(std::count(names.begin(), names.end(), "accuracy") + std::count(names.begin(), names.end(), "loss") == 0);
}

TEST_CASE("evaluations with other settings, two row axes and position bins share one grid", "[run_file]") {
  test::TemporaryFolder folder;
  RunRecord run = test::sample_run();
  run.evaluations = {test::sample_evaluation(50, {10}), test::sample_evaluation(100, {20, 30, 40})};
  for (Evaluation& evaluation : run.evaluations) {
    evaluation.row_axes = {"depth", "kind"};
    evaluation.row_names["kind"] = {"python", "лицензия", "prose"};
    evaluation.position_edges = {0, 256, 1024};
    for (EvalSetting& entry : evaluation.settings) {
      entry.slices = {{{0, 1}, test::sums(10, 10, 5, 5, 1)}, {{0, 2}, test::sums(20, 20, 7, 7, 2)}, {{9, 1}, test::sums(1, 1, 1, 1, 0)}};
      entry.positions = {test::sums(4, 40, 4, 0, 8), test::sums(4, 60, 6, 0, 9)};
    }
  }
  const RunRecord read = read_run(saved(folder, run));
  REQUIRE(read.evaluations.size() == 2);
  CHECK(read.evaluations[0].settings.size() == 1);
  CHECK(read.evaluations[1].settings.size() == 3);
  CHECK(read.evaluations[1].settings[2].slices == run.evaluations[1].settings[2].slices);
  CHECK(read.evaluations[1].row_names == run.evaluations[1].row_names);
  CHECK(read.evaluations[1].settings[2].positions == run.evaluations[1].settings[2].positions);
  const h5::File file = h5::File::open(folder / "run.h5");
  const h5::Group by_depth = file.group("eval/needle/test/by_depth");
  CHECK(by_depth.dataset("rows").shape() == h5::Shape{2, 3, 2});
  CHECK(by_depth.dataset("rows").read_rows<int64_t>(0, 1) == std::vector<int64_t>{30, 1, 0, 0, 0, 0});
  CHECK(file.dataset("eval/needle/test/loss").text("units") == "nat");
}

TEST_CASE("files that are not ours, damaged or of another schema are refused with what to do", "[run_file]") {
  test::TemporaryFolder folder;
  const auto refused = [&](const std::string& name, const std::string& message) {
    INFO(name);
    CHECK_THROWS_AS(read_run(folder / name), StoreError);
    CHECK_THROWS_WITH(read_run(folder / name), Contains(name) && Contains(message));
  };
  h5::File foreign = h5::File::in_memory("f");
  foreign.set("schema_version", int64_t{1});
  atomic_write(folder / "foreign.h5", foreign.image());
  refused("foreign.h5", "not one of Mneme's runs");
  h5::File newer = h5::File::in_memory("n");
  newer.set("schema", "mneme.run");
  newer.set("schema_version", int64_t{2});
  newer.set("code_version", "9.0.0+ffff");
  atomic_write(folder / "newer.h5", newer.image());
  refused("newer.h5", "version 2");
  newer.set("schema", "mneme.runs");
  newer.set("schema_version", int64_t{3});
  atomic_write(folder / "newer_table.h5", newer.image());
  refused("newer_table.h5", "version 3");
  refused("newer.h5", "9.0.0+ffff");
  const std::string whole = run_file_bytes(test::sample_run());
  atomic_write(folder / "cut.h5", whole.substr(0, whole.size() / 2));
  refused("cut.h5", "move it away or delete it");
  std::ofstream(folder / "text.h5") << "hello";
  refused("text.h5", "not HDF5");
  refused("missing.h5", "no such file");
}

TEST_CASE("no damage of a file of results changes a result in silence", "[run_file]") {
  test::TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  const std::vector<RunRecord> runs{test::sample_run("mag", 1), test::sample_run("rope", 2)};
  write_runs(path, runs);
  std::mt19937 random(11);
  const auto below = [&](size_t count) { return static_cast<size_t>(random()) % count; };
  for (const std::string& whole : {run_file_bytes(runs[0]), read_file(path)}) {
    for (int round = 0; round < 1000; ++round) {
      std::string damaged = whole;
      const size_t from = below(whole.size()), count = std::min(whole.size() - from, size_t{1} << below(13));
      switch (round % 5) {
        case 0: damaged[from] = static_cast<char>(damaged[from] ^ (1 << below(8))); break;          // a bit
        case 1: for (size_t i = 0; i < 8; ++i) damaged[below(whole.size())] = static_cast<char>(random()); break;
        case 2: std::fill_n(damaged.begin() + static_cast<ptrdiff_t>(from), count, '\0'); break;    // a block that was never written
        case 3: damaged.resize(from); break;
        case 4: damaged.replace(from, count, whole, below(whole.size() - count + 1), count); break;  // a block of another place
      }
      if (damaged == whole) continue;
      std::ofstream(path, std::ios::binary) << damaged;
      REQUIRE_THROWS_AS(read_runs({path}), StoreError);
    }
  }
}

TEST_CASE("counts that their means deny are damage", "[run_file]") {
  test::TemporaryFolder folder;
  RunRecord run = test::sample_run();
  h5::File file = h5::File::create(folder / "run.h5");  // without a seal
  write_record(file, run);
  file.dataset("eval/needle/test/exact").write_block<int64_t>({0, 0}, {1, 1}, std::vector<int64_t>{36}.data());
  file.close();
  CHECK_THROWS_WITH(read_run(folder.path()), Contains("eval/needle/test") && Contains("exact_match is not what its counts say"));
}

TEST_CASE("a metric that this program does not have is refused, not taken for another", "[run_file]") {
  test::TemporaryFolder folder;
  h5::File file = h5::File::in_memory("run.h5");
  write_record(file, test::sample_run());
  file.make_group("eval/needle/test").set("metric", "perplexity");
  atomic_write(folder / "run.h5", file.image());
  CHECK_THROWS_AS(read_run(folder.path()), StoreError);
  CHECK_THROWS_WITH(read_run(folder.path()), Contains("'perplexity'") && Contains("accuracy, exact_match, loss"));
}

TEST_CASE("runs are found in folders of run folders and in files of many", "[run_file]") {
  test::TemporaryFolder folder;
  for (int64_t seed : {1, 2}) {
    const RunRecord run = test::sample_run("mag", seed);
    make_folders(folder / run.info.run_id);
    atomic_write(folder / (run.info.run_id + "/run.h5"), run_file_bytes(run));
  }
  make_folders(folder / "started");
  const std::vector<RunRecord> runs = read_runs({folder.path(), folder / "demo-mag-1"});
  CHECK(runs.size() == 2);
  write_runs(folder / "table.h5", runs);
  CHECK(read_runs({folder / "table.h5", folder.path()}).size() == 2);
  CHECK_THROWS_WITH(read_runs({folder / "started"}), Contains("holds a run.h5"));
}

TEST_CASE("every part of every run comes back from a file of many", "[run_file]") {
  test::TemporaryFolder folder;
  std::vector<RunRecord> runs{test::sample_run("mag", 2), test::sample_run("rope", 1, {7}), test::sample_run("none", 3)};
  runs[0].evaluations.push_back(test::sample_evaluation(50, {10, 20}, "validation"));
  runs[0].info.values.emplace_back("memory.kind", "linear");  // a key the others do not have
  runs[1].status = "diverged";
  runs[1].error = "loss > limit";
  runs[1].probes.clear();
  runs[1].evaluations[0].chance = 0.5;  // another chance level: tables of its own
  runs[2].train.clear();
  runs[2].evaluations.clear();
  Evaluation& both = runs[0].evaluations[0];
  both.row_axes = {"depth", "kind"};
  both.row_names["kind"] = {"python", "licences", "prose"};
  both.position_edges = {0, 256, 1024};
  for (EvalSetting& entry : both.settings) {
    entry.slices = {{{0, 1}, test::sums(10, 10, 5, 5, 1)}, {{0, 2}, test::sums(20, 20, 7, 7, 2)}};
    entry.positions = {test::sums(4, 40, 4, 0, 8), test::sums(4, 0, 0, 0, 0)};
  }
  write_runs(folder / "table.h5", runs);
  const std::vector<RunRecord> read = read_runs({folder / "table.h5"});
  REQUIRE(read.size() == 3);
  for (size_t i = 0; i < runs.size(); ++i) {
    RunRecord wanted = runs[i];
    std::sort(wanted.evaluations.begin(), wanted.evaluations.end(), [](auto& a, auto& b) { return a.step < b.step; });
    RunRecord got = read[i];
    std::sort(wanted.info.values.begin(), wanted.info.values.end());
    std::erase_if(got.info.values, [&](const auto& value) { return value.second.empty() && i > 0; });  // keys only run 0 has
    INFO(got.info.run_id);
    CHECK(same_bytes(got, wanted));
  }
}

TEST_CASE("a file of many runs of the first schema still reads", "[run_file]") {
  test::TemporaryFolder folder;
  h5::File file = h5::File::in_memory("old.h5");
  file.set("schema", "mneme.runs");
  file.set("schema_version", int64_t{1});
  for (int64_t index : {0, 1}) {
    const RunRecord run = test::sample_run(index ? "a" : "z", index + 1);
    h5::Group group = file.make_group("runs/" + run.info.run_id);
    group.set("index", index);
    write_record(group, run);
  }
  atomic_write(folder / "old.h5", file.image());
  const std::vector<RunRecord> runs = read_runs({folder / "old.h5"});
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].label("arm") == "z");
  RunRecord wanted = test::sample_run("a", 2);
  std::sort(wanted.info.values.begin(), wanted.info.values.end());
  CHECK(same_bytes(runs[1], wanted));
}

TEST_CASE("h5py reads everything with the loader", "[run_file][python]") {
  const std::string python = std::string(MNEME_SOURCE_DIR) + "/.venv/bin/python";
  test::TemporaryFolder folder;
  saved(folder, test::sample_run());
  write_runs(folder / "many.h5", {test::sample_run("mag", 1), test::sample_run("mag", 2)});
  std::ofstream(folder / "check.py") << R"(
import sys, h5py
from mneme_results import load
run = load(sys.argv[1] + "/run.h5")
assert run["attributes"]["status"] == "done" and run["attributes"]["schema_version"] == 1, run["attributes"]
assert run["attributes"]["config_ini"].startswith("[run]")
assert run["train"]["step"].tolist() == list(range(10, 101, 10)) and run["train"]["loss"].dtype == "float64"
test = run["eval"]["needle"]["test"]
assert test["exact_match"].tolist() == [[1.0, 0.9]] and test["length"].tolist() == [256, 1024], test
assert test["rows"].tolist() == [[100, 100]] and test["axes"] == ["length"]
assert test["attributes"]["loss"]["units"] == "nat" and test["attributes"]["metric"] == "exact_match"
assert test["by_depth_percent"]["rows"].tolist() == [[[60, 40], [60, 40]]]
assert run["probe"]["layer0"]["write_rate"]["value"].tolist() == [0.1, 0.2]
assert run["cost"]["attributes"]["parameters"] == 70000
assert run["config"]["attributes"]["model.width"] == "64"
with h5py.File(sys.argv[1] + "/run.h5") as file:
    accuracy = file["eval/needle/test/accuracy"]
    assert [d.label for d in accuracy.dims] == ["evaluation", "setting"]
    assert accuracy.dims[1]["length"][:].tolist() == [256, 1024] and accuracy.dims[0]["step"][:].tolist() == [100]
many = load(sys.argv[1] + "/many.h5")
test = many["eval"]["needle"]["test"]
assert test["settings"]["run_id"].tolist() == ["demo-mag-1"] * 2 + ["demo-mag-2"] * 2
assert test["settings"]["length"].tolist() == [256, 1024] * 2 and test["settings"]["exact_match"].tolist() == [1.0, 0.9] * 2
assert test["slices"]["rows"].tolist() == [60, 40] * 4 and test["slices"]["depth_percent"].tolist() == [0, 50] * 4
assert "loss: nat" in test["attributes"]["settings"]["units"] and test["attributes"]["metric"] == "exact_match"
assert len(many["train"]["loss"]) == 20 and many["train"]["run_id"][-1] == "demo-mag-2"
assert many["cost"]["parameters"].tolist() == [70000, 70000] and many["runs"]["seed"].tolist() == [1, 2]
assert many["config"]["model.width"] == ["64", "64"] and many["config"]["run.seed"] == ["1", "2"]
)";
  const std::string command = "PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='" + std::string(MNEME_SOURCE_DIR) + "/experiments/scripts' '" +
                              python + "' '" + (folder / "check.py") + "' '" + folder.path() + "'";
  CHECK(std::system(command.c_str()) == 0);
}

TEST_CASE("how many rows are not finite survives run.h5, and a file of many runs", "[results]") {
  test::TemporaryFolder folder;
  RunRecord run = test::sample_run("mag", 1, {100, 90});
  EvalSums& sums = run.evaluations[0].settings[1].sums;
  sums.not_finite = 7;
  sums.loss = std::nan("");
  run.error = "on the test split, answers are not finite";
  atomic_write(folder / "run.h5", run_file_bytes(run));
  write_runs(folder / "runs.h5", {run}, [](h5::Group&) {});
  for (const std::string& path : {folder / "run.h5", folder / "runs.h5"}) {
    const std::vector<RunRecord> back = read_runs({path});
    REQUIRE(back.size() == 1);
    const EvalSums& read = back[0].evaluations[0].settings[1].sums;
    CHECK(read.not_finite == 7);
    CHECK(std::isnan(back[0].evaluations[0].value()));
    CHECK(back[0].evaluations[0].settings[0].sums.not_finite == 0);
    CHECK((back[0].status == "done" && back[0].error == run.error));
  }
}
