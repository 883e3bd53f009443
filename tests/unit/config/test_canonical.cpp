#include "config/config.h"

#include "tests/support/test.h"
#include "tests/unit/config/config_fixture.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("canonical text: reading it gives the same text and the same hash", "[config][canonical]") {
  TemporaryFolder folder;
  const Config config = config_from("[task.sample]\ndata = " + folder.write("a b.txt", "x") + "\n[model]\nheads = 2\n",
                                    {"train.lr=0.1", "memory.theta_max=0.3333333333333333", "run.name=\"a # b \"",
                                     "run.labels=task:needle, arm:mag", "task.sample.note= \"x\\ny\""});
  const std::string text = canonical_ini(config);
  const Config again = resolve(Settings::from_text(text, "config.ini"));
  CHECK(canonical_ini(again) == text);
  CHECK(config_hash(again) == config_hash(config));
  CHECK(run_id(again) == run_id(config));
  CHECK(again.train.lr == 0.1);
  CHECK(again.memory.theta_max == 0.3333333333333333);
  CHECK(flat_values(again) == flat_values(config));
}

TEST_CASE("hash: what can change a result counts, what cannot does not", "[config][hash]") {
  const std::string base = config_hash(config_from(""));
  const auto hash = [](const std::string& assignment) { return config_hash(config_from("", {assignment})); };
  CHECK(base.size() == 16);
  for (const char* same :
       {"runtime.threads=3", "run.folder=elsewhere", "run.labels=arm:x", "run.name=x", "train.log_every=7",
        "train.checkpoint_every=9", "train.keep=3", "task.other.depth=5", "model.width=64", "eval.per_seed=false"})
    CHECK(hash(same) == base);
  for (const char* other : {"run.seed=2", "model.width=32", "memory.theta_max=0.4", "train.lr=0.001", "eval.samples=9",
                            "runtime.dtype=float64", "task.sample.keys=8", "task.kind=other", "eval.lengths=64",
                            "eval.per_seed=true"})
    CHECK(hash(other) != base);
  CHECK(config_hash(config_from("", {"run.seed=2"}), {"run.seed"}) == config_hash(config_from(""), {"run.seed"}));
}

TEST_CASE("hash: data counts by content, not by path", "[config][hash]") {
  TemporaryFolder folder;
  const auto hash = [](const std::string& path) { return config_hash(config_from("", {"task.sample.data=" + path})); };
  const std::string first = hash(folder.write("a.txt", "some text"));
  CHECK(hash(folder.write("b.txt", "some text")) == first);
  CHECK(hash(folder.write("a.txt", "another text")) != first);  // the digest kept for the old content is not used

  folder.write("books/one.txt", "1");
  folder.write("books/two.txt", "2");
  const std::string books = hash(folder.path("books"));
  folder.write("copy/two.txt", "2");
  folder.write("copy/one.txt", "1");
  CHECK(hash(folder.path("copy")) == books);
  folder.write("copy/one.txt", "X");
  CHECK(hash(folder.path("copy")) != books);
  folder.write("more/one.txt", "1");
  folder.write("more/two.txt", "2");
  folder.write("more/three.txt", "");
  CHECK(hash(folder.path("more")) != books);
}

TEST_CASE("hash: weights to start from count by content, and a stored config does not need them any more", "[config][hash]") {
  TemporaryFolder folder;
  const std::string base = config_hash(config_from(""));
  const auto from = [](const std::string& path) { return config_from("", {"train.init_from=" + path}); };
  const Config one = from(folder.write("one.safetensors", "1"));
  CHECK(config_hash(one) != base);
  CHECK(config_hash(from(folder.write("copy.safetensors", "1"))) == config_hash(one));
  CHECK(config_hash(from(folder.write("two.safetensors", "2"))) != config_hash(one));

  // A run folder is its latest checkpoint, whatever else changes in it.
  folder.write("run/checkpoint/latest", "step-5\n");
  folder.write("run/checkpoint/step-5/trainer.json", "{}");
  folder.write("run/checkpoint/step-5/model.safetensors", "1");
  folder.write("run/log.txt", "more");
  for (const char* path : {"run", "run/checkpoint", "run/checkpoint/step-5"}) CHECK(config_hash(from(folder.path(path))) == config_hash(one));

  folder.write("one.safetensors", "changed");
  const Config stored = resolve(Settings::from_text(canonical_ini(one), "config.ini"));
  CHECK(config_hash(stored) == config_hash(one));
  CHECK(stored.train.init_from == one.train.init_from);
  CHECK_THAT(config_problems("", {"train.init_from=" + folder.path("gone.safetensors")}).at(0),
             Catch::Contains("train.init_from") && Catch::Contains("there are no weights at"));
}

TEST_CASE("run id: a readable slug that is safe as a folder name, and the hash", "[config][hash]") {
  const Config plain = config_from("");
  CHECK(run_id(plain) == "transformer-sample-" + config_hash(plain).substr(0, 8));
  const Config named = config_from("", {"run.name=../My run: №1/x"});
  CHECK(run_id(named) == "My-run-1-x-" + config_hash(named).substr(0, 8));
  CHECK(run_id(config_from("", {"run.name=../.."})).rfind("transformer-sample-", 0) == 0);
}
