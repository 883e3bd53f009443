// What is measured inside models, and what is said when one diverges.
#include "eval/measure.h"

#include <cmath>

#include "base/log.h"
#include "mneme/errors.h"
#include "results/run_file.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "train/trainer.h"
#include "train/training_step.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

Probe measured(const std::vector<std::string>& overrides) {
  const World world(tiny_config(overrides));
  return measure(*world.model, *world.task, world.config);
}

double value(const Probe& probe, const std::string& name) {
  const auto found = probe.entries().find(name);
  return found == probe.entries().end() ? std::nan("") : found->second.value();
}

double test_loss(const std::vector<std::string>& overrides) {
  const World world(tiny_config(overrides));
  return evaluate(*world.model, *world.task, world.config, {Split::test, 0, {}}).settings[0].sums.loss;
}

}  // namespace

TEST_CASE("a probe joins means by weight, sums, and largest values", "[train][probe]") {
  Probe part, all;
  part.mean({"mean", "1", ""}, 1, 3), part.sum({"sum", "steps", ""}, 2), part.largest({"largest", "1", ""}, 5);
  all.add("a/", part), all.add("a/", part);
  all.mean({"a/mean", "1", ""}, 5, 6), all.largest({"a/largest", "1", ""}, 4);
  CHECK(value(all, "a/mean") == 3);
  CHECK(value(all, "a/sum") == 4);
  CHECK(value(all, "a/largest") == 5);
}

TEST_CASE("measurements of every arm, however its rows are cut into calls", "[train][probe]") {
  const std::string name = GENERATE("full", "lmm", "mag", "mag_mlp");
  CAPTURE(name);
  const std::vector<std::string> wide = arm(name) + std::vector<std::string>{"runtime.dtype=float64"};
  const Probe cut = measured(wide), whole = measured(wide + std::vector<std::string>{"eval.segment=4096"});
  REQUIRE(cut.entries().size() == whole.entries().size());
  for (const auto& [key, entry] : cut.entries()) {
    CAPTURE(key);
    CHECK(std::isfinite(entry.value()));
    CHECK(!entry.quantity.help.empty());
    if (!key.ends_with("weights_norm")) CHECK(entry.value() == Approx(value(whole, key)).epsilon(1e-9));  // this one is taken after a call
  }
  const bool attends = name != "lmm", remembers = name != "full";
  CHECK(std::isnan(value(cut, "layer1/attention/query_map_norm")) != attends);
  CHECK(std::isnan(value(cut, "layer1/memory/surprise")) != remembers);
  if (!remembers) return;
  const World world(tiny_config(wide));
  double norm = 0;
  for (const auto& [parameter, tensor] : named_tensors(*world.model))
    if (parameter.starts_with("layers_1.block.") && parameter.ends_with(attends ? ".memory.qkv" : ".qkv")) norm = tensor.narrow(0, 0, 16).norm().item<double>();
  CHECK(value(cut, "layer1/memory/query_map_norm") == Approx(norm));
  CHECK(value(cut, "layer1/memory/theta_max") <= 0.5);
  CHECK(value(cut, "layer1/memory/theta_mean") < value(cut, "layer1/memory/theta_max"));
  CHECK(value(cut, "layer1/memory/weights_norm") > 0);
}

TEST_CASE("rows are measured by the names of a row axis, each kind by its own rows", "[train][probe]") {
  TemporaryFolder folder;
  overwrite(folder / "train.txt", std::string(4000, 'a'));
  overwrite(folder / "one.txt", std::string(4000, 'a'));
  overwrite(folder / "two.txt", std::string(4000, 'z'));
  const std::vector<std::string> texts{"task.kind=needle", "task.length=128", "task.needle.needles=3", "task.needle.text_weights=equal",
                                       "task.needle.train_text=" + folder / "train.txt"};
  const World world(tiny_config(arm("mag") + texts + std::vector<std::string>{"task.needle.test_text=" + folder / "one.txt" + "," + folder / "two.txt"}));
  const Probe probe = measure_by_name(*world.model, *world.task, world.config);
  const double one = value(probe, "text/one/layer1/memory/theta_mean"), two = value(probe, "text/two/layer1/memory/theta_mean");
  CHECK((one > 0 && two > 0 && one != two));
  CHECK(std::isfinite(value(probe, "text/two/layer0/attention/query_map_norm")));
  const World other(tiny_config(arm("mag") + texts + std::vector<std::string>{"task.needle.test_text=" + folder / "two.txt"}));
  CHECK(measure_by_name(*other.model, *other.task, other.config).entries().empty());
}

TEST_CASE("the guard's firings are counted where steps overshoot, and only there", "[train][probe]") {
  const std::vector<std::string> stale =
      arm("mag_mlp") + std::vector<std::string>{"memory.gradient=refresh", "memory.theta_max=1", "task.mqar.vocab=20"};
  CHECK(value(measured(stale + std::vector<std::string>{"memory.theta_bias=3"}), "layer0/memory/guard_firings") > 0);
  CHECK(value(measured(stale + std::vector<std::string>{"memory.theta_bias=-12"}), "layer0/memory/guard_firings") == 0);
  CHECK(std::isnan(value(measured(stale + std::vector<std::string>{"memory.guard=false"}), "layer0/memory/guard_firings")));
}

TEST_CASE("every validation of a run leaves its measurements in run.h5", "[train][probe]") {
  TemporaryFolder folder;
  const Config config = tiny_config(arm("mag") + std::vector<std::string>{"run.folder=" + folder.path()});
  Log log(/*quiet=*/true);
  const RunRecord run = read_run(train(config, {}, log).folder);
  const auto series = std::find_if(run.probes.begin(), run.probes.end(), [](const ProbeSeries& p) { return p.name == "layer1/memory/surprise"; });
  REQUIRE(series != run.probes.end());
  CHECK(series->steps == std::vector<int64_t>{10, 20});
  CHECK(std::isfinite(series->values[1]));
  CHECK(series->unit == "1");
  CHECK_THAT(series->help, Contains("inner loss"));
}

TEST_CASE("measuring changes nothing: the same model scores the same", "[train][probe]") {
  const World world(tiny_config(arm("mag_mlp")));
  auto loss = [&] { return evaluate(*world.model, *world.task, world.config, {Split::test, 0, {}}).settings[1].sums.loss; };
  const double before = loss();
  measure(*world.model, *world.task, world.config);
  CHECK(loss() == before);
}

TEST_CASE("memory.frozen writes nothing in evaluation, which memory.off writes nowhere", "[train]") {
  const std::string name = GENERATE("lmm", "mag", "mag_mlp");
  CAPTURE(name);
  const std::vector<std::string> some = arm(name) + std::vector<std::string>{"memory.theta_bias=2"};
  const double off = test_loss(some + std::vector<std::string>{"memory.off=true"});
  CHECK(test_loss(some + std::vector<std::string>{"memory.frozen=true"}) == off);
  CHECK(test_loss(some) != off);
  World world(tiny_config(some));
  evaluate(*world.model, *world.task, world.config, {Split::test, 0, {}});
  CHECK(world.model->is_training());
}

TEST_CASE("a divergence names layer, head and step, and the largest gates", "[train]") {
  const World world(tiny_config(arm("mag_mlp") + std::vector<std::string>{"memory.heads=2"}));
  AdamW adam(named_tensors(*world.model), [](const std::string&) { return true; }, world.config.train);
  TrainingStep step(world.config, *world.task, *world.model, adam);
  for (const auto& [name, tensor] : named_tensors(*world.model))  // the second head's initial weights, [H,in,out]
    if (name == "layers_1.block.memory.memory.weights_1") tensor.detach().select(0, 1).fill_(std::numeric_limits<float>::infinity());
  CHECK_THAT(message_of<DivergedError>([&] { step.run(6); }),
             Contains("diverged at step 7") && Contains("layer 1, head 1: fast weights 0 are not finite from token 0 on") &&
                 Contains("largest gates: layer0: theta 0.") && Contains("layer1: theta") && Contains("memory.theta_max"));
}
