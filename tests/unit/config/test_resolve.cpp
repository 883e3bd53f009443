#include "config/config.h"

#include "tests/support/test.h"
#include "tests/unit/config/config_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

// The one problem of a config, or all of them for the failure message.
std::string problem(const std::string& ini, const std::vector<std::string>& overrides = {}) {
  const auto problems = config_problems(ini, overrides);
  return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems: " + join(problems, " / ");
}

const std::string kSample = "[task]\nkind = sample\n";

}  // namespace

TEST_CASE("resolve: values of every type", "[config][resolve]") {
  TemporaryFolder folder;
  const std::string file = folder.write("text.txt", "x");
  const Config config = config_from(
      "[model]\nwidth = 32\nmemory_layers = 0, 1\n[train]\nlr = 1e-3\n[memory]\noff = yes\n"
      "retention_target = init\n[task.sample]\npairs = 8x16, 4x2\ndata = " +
      file);
  CHECK(config.model.width == 32);
  CHECK(config.model.memory_layers == std::vector<int64_t>{0, 1});
  CHECK(config.train.lr == 1e-3);
  CHECK(config.memory.off);
  CHECK(config.memory.retention_target == "init");
  REQUIRE(config.task_options != nullptr);
  CHECK_THAT(canonical_ini(config),
             Contains("[task.sample]\ndata = " + file + "\npairs = 8x16, 4x2\n") && !Contains("task.other"));
}

TEST_CASE("resolve: what is wrong with a value, what is allowed, what was meant", "[config][resolve]") {
  CHECK(problem("[model]\nwidht = 64") == "x.ini:2: model.widht = 64: unknown key; did you mean 'model.width'?");
  CHECK_THAT(problem("[model]\nlr = 1"), Contains("did you mean 'train.lr'?"));  // right name, wrong section
  CHECK_THAT(problem("[modle]\nheads = 1"), Contains("did you mean 'model.heads'?"));
  CHECK_THAT(problem("[qqqqqq]\nzzzzzz = 1"), Contains("unknown key") && !Contains("did you mean"));
  CHECK(problem("[model]\nlayers = 2.5") == "x.ini:2: model.layers = 2.5: '2.5' is not an integer; allowed: 1 … 1024");
  CHECK_THAT(problem("[model]\nlayers = 0"), Contains("0 is out of range; allowed: 1 … 1024"));
  CHECK_THAT(problem("[model]\nlayers ="), Contains("'' is not an integer"));
  CHECK_THAT(problem("[model]\nlayers = 99999999999999999999"), Contains("is not an integer"));
  CHECK_THAT(problem("[train]\nlr = fast"), Contains("'fast' is not a number; allowed: 0 … 100"));
  CHECK_THAT(problem("[train]\nlr = nan"), Contains("is not a number"));
  CHECK_THAT(problem("[train]\nlr = -1"), Contains("out of range"));
  CHECK_THAT(problem("[memory]\noff = maybe"), Contains("neither true nor false"));
  CHECK_THAT(problem("[model]\npositions = ropes"),
             Contains("allowed: rope | none | learned | sinusoidal; did you mean 'rope'?"));
  CHECK_THAT(problem("[model]\nkind = lm"), Contains("allowed: transformer | lmm | mac | mag | mal | titans_pytorch; did you mean 'lmm'?"));
  CHECK_THAT(problem("[memory]\nkind = lineer"), Contains("did you mean 'linear'?"));
  CHECK_THAT(problem("[task]\nkind = smaple"), Contains("did you mean 'sample'?"));
  CHECK_THAT(problem("[eval]\nlengths = 64, x"), Contains("'x' is not an integer"));
  CHECK_THAT(problem("[eval]\nlengths = 64,,128"), Contains("between the commas is empty"));
  CHECK_THAT(problem("[task.sample]\npairs = 8x16x2"), Contains("'8x16x2' is not 2 numbers joined by x"));
  CHECK_THAT(problem("[task.sample]\npairs = 8x500"), Contains("500 is out of range; allowed: 1 … 100"));
  CHECK(problem("", {"train.stpes=5"}) == "command line: train.stpes = 5: unknown key; did you mean 'train.steps'?");
  CHECK_THAT(problem("[grid]\nmodel.width = 1 | 2"), Contains("`mneme sweep`"));
}

TEST_CASE("resolve: rules between options name both", "[config][resolve]") {
  CHECK(problem("[model]\nheads = 3") ==
        "x.ini:2: model.heads = 3: does not divide model.width = 64; allowed: 1, 2, 4, 8, 16, 32, 64");
  CHECK_THAT(problem("[model]\nheads = 4\nkv_heads = 3"),
             Contains("model.kv_heads = 3: does not divide model.heads = 4"));
  CHECK(config_problems("[model]\nwidth = 6\nheads = 2\npositions = none").empty());
  CHECK_THAT(problem("[model]\nwindow = 0"), Contains("allowed: 1 …"));
  CHECK_THAT(problem("[model]\nconv_width = 1\nconv_init = shift"), Contains("no previous token"));
  CHECK_THAT(problem("[model]\nmemory_layers = 2"), Contains("allowed: 0 … 1"));
  CHECK_THAT(problem("[model]\nmemory_layers = 1, 1"), Contains("twice"));
  CHECK_THAT(problem("[model]\nkind = mag\n[memory]\nheads = 3"),
             Contains("memory.heads = 3: does not divide model.width = 64"));
  CHECK(config_problems("[model]\nkind = mag\n[memory]\nheads = 3\nhead_width = 8").empty());
  CHECK(config_problems("[memory]\nheads = 3").empty());  // the transformer has no memory
  CHECK_THAT(problem("[train]\npenalty_from = 0.5\npenalty_full = 0.2"), Contains("comes before train.penalty_from = 0.5"));
  CHECK_THAT(problem("[train]\npenalty_full = 0.5\n[memory]\nwrite_penalty = 0"), Contains("delays memory.write_penalty, and there is none"));
  CHECK_THAT(problem("[train]\nsteps = 20"), Contains("default: train.warmup = 50") && Contains("0 … 20"));
  CHECK_THAT(problem("[train]\nbatch = 10\naccumulate = 4"), Contains("does not divide train.batch = 10"));
  CHECK_THAT(problem("[train]\nstop_accuracy = 0.9"), Contains("set eval.every"));
  CHECK_THAT(problem("[task.sample]\nkeys = 3"), Contains("task.sample.keys = 3: must be even"));
}

TEST_CASE("resolve: own options of a block and a memory: read, checked, canonical, and their rules", "[config][resolve]") {
  const Config config = config_from("[model]\nkind = mac\n[model.mac]\nsegment = 7\n[memory]\nkind = linear\n[memory.linear]\nfeatures = 3");
  CHECK_THAT(canonical_ini(config), Contains("[model.mac]\nsegment = 7\n") && Contains("[memory.linear]\nfeatures = 3\n"));
  CHECK_THAT(canonical_ini(config_from("[memory.linear]\nfeatures = 3\n[memory]\nkind = other")), !Contains("features"));  // of a kind not chosen
  CHECK_THAT(problem("[memory.linear]\nfeatures = x\n[memory]\nkind = other"), Contains("x.ini:2: memory.linear.features = x: 'x' is not an integer"));
  CHECK_THAT(problem("[memory]\nfeatures = 3"), Contains("memory.features = 3: unknown key; did you mean 'memory.linear.features'?"));
  CHECK_THAT(problem("[memory.other]\nfeatures = 3"), Contains("memory.other.features = 3: unknown key; did you mean 'memory.linear.features'?"));
  CHECK_THAT(problem("[model]\nkind = mag\n[memory]\nclip = 3"), Contains("x.ini:4: memory.clip = 3: a rule of linear"));
  CHECK(config_problems("[model]\nkind = transformer\n[memory]\nclip = 3").empty());  // it has no memory
}

TEST_CASE("resolve: all problems at once, in the order of the options", "[config][resolve]") {
  const auto problems =
      config_problems("[train]\nlr = x\n[model]\nwidht = 1\nlayers = 0\n");
  REQUIRE(problems.size() == 3);
  CHECK_THAT(problems[0], Contains("x.ini:5: model.layers"));
  CHECK_THAT(problems[1], Contains("x.ini:2: train.lr"));
  CHECK_THAT(problems[2], Contains("x.ini:4: model.widht"));
}

TEST_CASE("resolve: mistakes in the section of a task that is not chosen are mistakes too", "[config][resolve]") {
  CHECK_THAT(problem("[task.other]\ndepht = 1"), Contains("did you mean 'task.other.depth'?"));
  CHECK_THAT(problem("[task.other]\ndepth = 10"), Contains("allowed: 0 … 9"));
  CHECK(config_problems("[task]\nkind = other\n[task.sample]\nkeys = 3")
            .empty());  // rules count for the chosen task only
}

TEST_CASE("resolve: missing data is an error, but not for the stored config of a finished run", "[config][resolve]") {
  TemporaryFolder folder;
  folder.write("emma.txt", "x");
  const std::string ini = "[task.sample]\ndata = " + folder.path("ema.txt");
  CHECK_THAT(problem(ini), Contains("does not exist; did you mean '" + folder.path("emma.txt") + "'?"));
  Settings settings = Settings::from_text(ini + "\n[task]\nkind = sample\n", "x.ini");
  CHECK_NOTHROW(resolve(settings, DataFiles::may_be_missing));
  CHECK(config_problems("[task]\nkind = other\n" + ini).empty());
}

TEST_CASE("overrides win over the file", "[config][resolve]") {
  CHECK(config_from("[train]\nsteps = 100\n", {"train.steps=200", "train.steps=300"}).train.steps == 300);
}

TEST_CASE("option help covers every section, with type, default, range and a line of help", "[config][help]") {
  register_samples();
  const auto all = option_help();
  CHECK(all.size() > 80);
  for (const OptionHelp& option : all) {
    INFO(option.key);
    CHECK_FALSE(option.help.empty());
    CHECK(option.help.find('\n') == std::string::npos);
    CHECK((option.type == "text" || !option.range.empty()));
  }
  const auto memory = option_help("memory.theta_max");
  REQUIRE(memory.size() == 1);
  CHECK(memory[0].default_value == "0.5");
  CHECK(memory[0].type == "number");
  CHECK(option_help("task.other.").size() == 1);
}

TEST_CASE("numbers have one sign, and 0 has none", "[config]") {
  CHECK(flat_values(config_from(kSample, {"train.weight_decay=-0.0"})) == flat_values(config_from(kSample, {"train.weight_decay=0"})));
  CHECK(config_from(kSample, {"train.steps=+400"}).train.steps == 400);
  for (const char* text : {"+-4", "++4", "-+4", "--4", "+"}) CHECK_THAT(config_problems(kSample, {std::string("train.steps=") + text}).at(0), Contains("is not an integer"));
  CHECK_THAT(config_problems(kSample, {"train.lr=+-1e-3"}).at(0), Contains("is not a number"));
}

TEST_CASE("run.folder is a folder: not nothing, and not ~", "[config]") {
  CHECK_THAT(config_problems(kSample, {"run.folder="}).at(0), Contains("run.folder = : is empty"));
  CHECK_THAT(config_problems(kSample, {"run.folder=\"\""}).at(0), Contains("is empty"));
  for (const char* folder : {"~", "~/runs"}) CHECK_THAT(config_problems(kSample, {std::string("run.folder=") + folder}).at(0), Contains("only a shell"));
}
