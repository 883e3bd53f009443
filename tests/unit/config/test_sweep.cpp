#include "config/sweep.h"

#include <set>

#include "tests/support/test.h"
#include "tests/unit/config/config_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

const std::string kHead = "[task]\nkind = sample\n";

struct SweepFixture {
  SweepFixture() { register_samples(); }
  std::string file(const std::string& text) { return folder.write("sweep.ini", text); }
  Sweep read(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return read_sweep(file(text), overrides);
  }
  std::vector<std::string> problems(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return problems_of([&] { read(text, overrides); });
  }
  TemporaryFolder folder;
};

const std::string kTwoAxes = kHead +
                             "[sweep]\nname = demo\naxes = task, arm\nseeds = 1, 2\n"
                             "[axis.arm.plain]\n[axis.arm.mag]\nmodel.kind = mag\n"
                             "[axis.task.one]\ntask.sample.keys = 2\n[axis.task.two]\ntask.sample.keys = 6\n";

}  // namespace

TEST_CASE_METHOD(SweepFixture, "sweep: product of named axes in their order, seeds innermost", "[config][sweep]") {
  const Sweep sweep = read(kTwoAxes);
  CHECK(sweep.name == "demo");
  CHECK(sweep.axes == std::vector<std::string>{"task", "arm"});
  REQUIRE(sweep.combinations.size() == 4);
  CHECK(sweep.combinations[1] == Labels{{"task", "one"}, {"arm", "mag"}});
  const auto runs = sweep.runs();
  REQUIRE(runs.size() == 8);
  CHECK(runs[3].config.run.seed == 2);
  CHECK(runs[3].config.model.kind == "mag");
  CHECK(runs[3].config.run.labels == "task:one, arm:mag");
  CHECK(runs[3].id.rfind("demo-one-mag-", 0) == 0);
  CHECK(runs[0].config.model.kind == "transformer");  // a value without keys is a value
  CHECK(runs[4].labels == Labels{{"task", "two"}, {"arm", "plain"}});
  std::set<std::string> ids;
  for (const SweepRun& run : runs) ids.insert(run.id);
  CHECK(ids.size() == 8);
}

TEST_CASE_METHOD(SweepFixture, "sweep: grid multiplies, zip advances together", "[config][sweep]") {
  const Sweep sweep = read(kHead +
                           "[grid]\nmemory.refresh = 16 | 64\neval.lengths = 64, 128 | 256\n"
                           "[zip]\nmodel.width = 64 | 128\nmodel.heads = 1 | 2\n");
  CHECK(sweep.name == "sweep");
  CHECK(sweep.axes == std::vector<std::string>{"memory.refresh", "eval.lengths", "model.width", "model.heads"});
  const auto runs = sweep.runs();
  REQUIRE(runs.size() == 8);
  for (const SweepRun& run : runs) CHECK(run.config.model.heads == run.config.model.width / 64);
  CHECK(runs[0].config.eval.lengths == std::vector<int64_t>{64, 128});
  CHECK(runs[7].config.run.labels == "memory.refresh:64, eval.lengths:256, model.width:128, model.heads:2");
  CHECK(runs[0].labels[1].second == "64+128");  // a comma would end the label
}

TEST_CASE_METHOD(SweepFixture, "sweep: exclude leaves out what every label of a rule matches", "[config][sweep]") {
  const std::string axes = kTwoAxes + "[grid]\nmodel.layers = 1 | 2\n";
  const Sweep sweep = read(axes, {"sweep.exclude=task:one arm:mag; model.layers:2 arm:plain"});
  CHECK(sweep.combinations.size() == 4);
  for (const Labels& labels : sweep.combinations) {
    const std::set<std::pair<std::string, std::string>> set(labels.begin(), labels.end());
    CHECK_FALSE((set.count({"task", "one"}) == 1 && set.count({"arm", "mag"}) == 1));
    CHECK_FALSE((set.count({"model.layers", "2"}) == 1 && set.count({"arm", "plain"}) == 1));
  }
  CHECK_THAT(problems(axes, {"sweep.exclude=arm:mga"}).at(0),
             Contains("has no value 'mga'") && Contains("did you mean 'mag'?"));
  CHECK_THAT(problems(axes, {"sweep.exclude=amr:mag"}).at(0),
             Contains("names no axis") && Contains("did you mean 'arm'?"));
  CHECK_THAT(problems(axes, {"sweep.exclude=arm:mag; arm:plain"}).at(0), Contains("leaves no run"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: learning rates are tried on a seed of their own and then chosen",
                 "[config][sweep]") {
  const Sweep sweep = read(kTwoAxes, {"sweep.lr=1e-3, 3e-3"});
  REQUIRE(sweep.tuning.size() == 8);
  CHECK(sweep.tuning[1].config.train.lr == 3e-3);
  CHECK(sweep.tuning[1].config.run.seed == 100);
  CHECK(sweep.tuning[1].tuning);
  CHECK(sweep.tuning[1].config.run.labels == "task:one, arm:plain, tuning:lr");
  const auto runs = sweep.runs({{0, 1e-3, 2}, {0, 3e-3, 4, true}, {0, 1e-3}, {0, 3e-3}});
  CHECK(runs[0].config.train.lr == 1e-3);
  CHECK(runs[2].config.train.lr == 3e-3);
  CHECK_FALSE(runs[2].tuning);
  CHECK(runs[0].config.run.labels == "task:one, arm:plain, trials:2");
  CHECK(runs[2].config.run.labels == "task:one, arm:mag, trials:4, lr_edge:true");
  const SweepRun beyond = sweep.trial(3, 0, 9e-3, 1);
  CHECK(beyond.config.train.lr == 9e-3);
  CHECK(beyond.config.run.seed == 100);
  CHECK(beyond.config.run.labels == "task:two, arm:mag, tuning:lr");
  CHECK(read(kTwoAxes, {"sweep.lr="}).tuning.empty());
  CHECK_THAT(problems(kTwoAxes, {"sweep.lr=1e-3, fast"}).at(0), Contains("'fast' is not a learning rate"));
  CHECK_THAT(problems(kTwoAxes, {"sweep.lr=1e-3", "sweep.lr_seed=2"}).at(0), Contains("seed that no result uses"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: a search is a product per combination, each point with all rates", "[config][sweep]") {
  const std::string text = kTwoAxes + "[search.arm.plain]\nmodel.heads = 1 | 2\nmodel.rope_base = 1e4 | 1e5\n"
                                      "[search.arm.plain.zip]\nmodel.layers = 2 | 3\nmodel.ffn_width = 128 | 64\n"
                                      "[trials]\neval.samples = 8\n";
  const Sweep sweep = read(text, {"sweep.lr=1e-3, 3e-3"});
  CHECK(sweep.candidates[0].size() == 8);
  CHECK(sweep.candidates[1].size() == 1);  // of the other arm
  REQUIRE(sweep.tuning.size() == 2 * (8 + 1) * 2);
  std::set<std::string> ids;
  for (const SweepRun& run : sweep.tuning) {
    ids.insert(run.id);
    CHECK(run.config.eval.samples == 8);
    if (run.labels[1].second == "plain") CHECK((run.config.model.layers == 3) == (run.config.model.ffn_width == 64));
  }
  CHECK(ids.size() == sweep.tuning.size());
  CHECK(sweep.candidates[0][7].labels == Labels{{"model.heads", "2"}, {"model.rope_base", "1e5"}, {"model.layers", "3"}, {"model.ffn_width", "64"}});
  const auto runs = sweep.runs({{7, 3e-3, 16}, {0, 1e-3, 2}, {0, 1e-3, 16}, {0, 1e-3, 2}});
  CHECK(runs[1].config.model.heads == 2);
  CHECK(runs[1].config.model.layers == 3);
  CHECK(runs[1].config.run.labels == "task:one, arm:plain, trials:16");
  CHECK(runs[1].config.eval.samples != 8);
  CHECK(read(text).tuning.size() == 2 * (8 + 1));  // also without a grid of rates
  CHECK_THAT(problems(text, {"model.heads=2"}).at(0), Contains("it is searched: give search"));
  CHECK(read(text, {"search.arm.plain.model.heads=1 | 2 | 4"}).candidates[0].size() == 12);
  CHECK_THAT(problems(text, {"search.arm.plane.model.heads=1 | 2"}).at(0), Contains("no such section") && Contains("[search.arm.plain]"));
  CHECK_THAT(problems(text + "[search.arm.mga]\nmodel.heads = 1\n").at(0), Contains("no value 'mga'") && Contains("did you mean 'mag'?"));
  CHECK_THAT(problems(text + "[search.arm]\nmodel.heads = 1\n").at(0), Contains("write [search.<axis>.<value>]"));
  CHECK_THAT(problems(text, {"search.arm.plain.model.heads="}).at(0), Contains("search.arm.plain.model.heads has no values"));
  CHECK_THAT(problems(text, {"search.arm.plain.zip.model.layers=", "search.arm.plain.zip.model.ffn_width="}).at(0), Contains("has no values"));
  CHECK_THAT(problems(text, {"eval.samples=9"}).at(0), Contains("give trials.eval.samples=… too"));
  CHECK(read(text, {"trials.eval.samples=9"}).tuning[0].config.eval.samples == 9);
  CHECK_THAT(problems(text + "[trials]\nrun.seed = 4\n").at(0), Contains("change sweep.lr_seed"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: a case sets keys of the combinations that have all its values, over their axes", "[config][sweep]") {
  const std::string text = kTwoAxes + "[case.task.two.arm.mag]\ntrain.steps = 70\n[train]\nsteps = 60\n";
  for (const SweepRun& run : read(text).runs()) CHECK(run.config.train.steps == (run.config.run.labels == "task:two, arm:mag" ? 70 : 60));
  for (const SweepRun& run : read(text, {"train.steps=80"}).runs()) CHECK(run.config.train.steps == 80);
  CHECK_THAT(problems(text + "[case.task.three]\ntrain.steps = 1\n").at(0), Contains("[case.task.three]") && Contains("no value 'three'"));
  CHECK_THAT(problems(text + "[case.task.one]\nrun.seed = 7\n").at(0), Contains("the sweep sets this key") && Contains("change sweep.seeds"));
  CHECK_THAT(problems(kTwoAxes + "[axis.arm.third]\nrun.seed = 7\n").at(0), Contains("[axis] run.seed = 7") && Contains("change sweep.seeds"));
  CHECK_THAT(problems(text + "[search.arm.mag]\ntrain.steps = 1 | 2\n").at(0), Contains("[case] train.steps = 70") && Contains("it is searched there"));
  CHECK_THAT(problems(text + "[case.task.one]\ntrain.lr = 7\n", {"sweep.lr=1e-3, 2e-3"}).at(0), Contains("change sweep.lr"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: overrides reach every run and win over the axes", "[config][sweep]") {
  const auto runs =
      read(kTwoAxes, {"train.steps=60", "sweep.seeds=5", "task.sample.keys=8", "sweep.exclude=task:two"}).runs();
  REQUIRE(runs.size() == 2);
  for (const SweepRun& run : runs) {
    CHECK(run.config.train.steps == 60);
    CHECK(run.config.run.seed == 5);
    CHECK_THAT(canonical_ini(run.config), Contains("\nkeys = 8\n"));
  }
}

TEST_CASE_METHOD(SweepFixture, "sweep: an override that the sweep sets itself is refused", "[config][sweep]") {
  CHECK_THAT(problems(kTwoAxes, {"run.seed=3"}).at(0), Contains("sweep.seeds"));
  CHECK_THAT(problems(kTwoAxes, {"sweep.lr=0.1", "train.lr=3"}).at(0), Contains("sweep.lr"));
  CHECK_THAT(problems(kHead + "[grid]\nmodel.layers = 1 | 2\n", {"model.layers=2"}).at(0),
             Contains("grid.model.layers"));
  CHECK(read(kHead + "[grid]\nmodel.layers = 1 | 2\n", {"grid.model.layers=3 | 4 | 5"}).combinations.size() == 3);
}

TEST_CASE_METHOD(SweepFixture, "sweep: the same problem in many runs is one line", "[config][sweep]") {
  const auto list = problems(kTwoAxes + "[model]\nwidht = 1\n", {"sweep.seeds=1,2,3"});
  REQUIRE(list.size() == 1);
  CHECK_THAT(list[0], Contains("sweep.ini:15: model.widht = 1: unknown key") && Contains("(in 12 of 12 runs)"));

  const auto some = problems(kTwoAxes + "[memory]\nheads = 3\n");  // wrong with mag only
  REQUIRE(some.size() == 1);
  CHECK_THAT(some[0], Contains("memory.heads = 3") && Contains("(in 4 of 8 runs, first task:one, arm:mag)"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: two combinations that are the same experiment are an error naming both",
                 "[config][sweep]") {
  const auto list = problems(kHead + "[axis.arm.a]\nmodel.kind = mag\n[axis.arm.b]\nmodel.kind = mag\n");
  REQUIRE(list.size() == 1);
  CHECK_THAT(list[0], Contains("'arm:a' and 'arm:b'"));
  const auto many = problems(kHead + "[grid]\nmodel.kind = mag | mag | mag | mag | mag | mag\n");
  REQUIRE(many.size() == 4);
  CHECK(many[3] == "and 2 more that are the same experiment");
}

TEST_CASE_METHOD(SweepFixture, "sweep: mistakes in the sweep itself", "[config][sweep]") {
  CHECK_THAT(problems(kHead + "[sweep]\nsede = 1\n").at(0), Contains("did you mean 'sweep.seeds'?"));
  CHECK_THAT(problems(kHead + "[sweep]\naxes = amr\n[axis.arm.a]\n").at(0),
             Contains("'amr' has no values") && Contains("'arm'"));
  CHECK_THAT(problems(kHead + "[sweep]\naxes = arm\n[axis.arm.a]\n[axis.task.b]\n").at(0),
             Contains("does not name the axis 'task'"));
  CHECK_THAT(problems(kHead + "[axis.arm]\nmodel.kind = mag\n").at(0), Contains("write [axis.<axis>.<value>]"));
  CHECK_THAT(problems(kHead + "[zip]\nmodel.width = 1 | 2\nmodel.heads = 1\n").at(0), Contains("equally many"));
  CHECK_THAT(problems(kHead + "[grid]\nmodel.width =\n").at(0), Contains("has no values"));
  CHECK_THAT(problems(kHead + "[sweep]\nseeds = 1, 1\n").at(0), Contains("twice"));
  for (const char* name : {"a/b", "../x", ".x"}) CHECK_THAT(problems(kHead + "[sweep]\nname = " + name + "\n").at(0), Contains("folders are called by"));
  CHECK_THAT(problems(kHead + "[sweep]\nname = " + std::string(201, 'n') + "\n").at(0), Contains("at most 200 bytes"));
  for (const std::string name : {"tuning", "trials", "lr_edge", "seed"})
    CHECK_THAT(problems(kHead + "[axis." + name + ".1]\n[axis." + name + ".2]\nmodel.width = 8\n").at(0), Contains("tables have a key '" + name + "' of their own"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: an arm can be made of config fragments", "[config][sweep]") {
  folder.write("models/mag.ini", "[model]\nkind = mag\nwindow = 16\n");
  const auto runs =
      read(kHead + "[axis.arm.mag]\nmodel.window = 8\nextends = models/mag.ini\n[axis.arm.plain]\n").runs();
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].config.model.kind == "mag");
  CHECK(runs[0].config.model.window == 8);
  CHECK(runs[1].config.model.kind == "transformer");
}

TEST_CASE_METHOD(SweepFixture, "sweep: without axes it is one run", "[config][sweep]") {
  const auto runs = read(kHead + "[run]\nseed = 7\n").runs();
  REQUIRE(runs.size() == 1);
  CHECK(runs[0].config.run.seed == 7);
}

TEST_CASE_METHOD(SweepFixture, "sweep: rules of exclude are parted by ';', with white space before it or not", "[config][sweep]") {
  for (const char* between : {"; ", " ; ", ";"})
    CHECK(read(kHead + "[sweep]\nexclude = model.width:8 train.lr:1e-3" + between + "model.width:16 train.lr:1e-2\n[grid]\nmodel.width = 8 | 16\n"
               "model.heads = 1\ntrain.lr = 1e-3 | 1e-2\n").runs().size() == 2);
}

TEST_CASE_METHOD(SweepFixture, "sweep: values in quotes are not cut at '|', and labels that are the same are refused", "[config][sweep]") {
  const Sweep sweep = read(kHead + "[grid]\ntask.sample.note = \"a | b\" | c\n");
  REQUIRE(sweep.combinations.size() == 2);
  CHECK(sweep.combinations[0][0].second == "a|b");
  CHECK_THAT(problems(kHead + "[grid]\ntask.sample.note = \"a, b\" | a:b\n").at(0), Contains("are both called a+b in tables"));
}

TEST_CASE_METHOD(SweepFixture, "sweep: 0 and -0 are one experiment", "[config][sweep]") {
  CHECK_THAT(problems(kHead + "[grid]\ntrain.weight_decay = 0 | -0\n").at(0), Contains("the same experiment"));
}
