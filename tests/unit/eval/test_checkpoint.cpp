#include <fmt/format.h>
#include <torch/cuda.h>

#include <filesystem>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "config/fields.h"
#include "eval/checkpoint.h"
#include "io/seal.h"
#include "eval/runtime.h"
#include "train/optimizer.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

std::function<void(const TensorFile&, const std::string&)> into(AdamW& adam) {
  return [&adam](const TensorFile& file, const std::string& source) { adam.load(file, source); };
}

/// A model with moments, and its checkpoints.
struct Saved : World {
  explicit Saved(const Config& made, int64_t keep = 1)
      : World(made),
        adam(
            named_tensors(*model), [](const std::string&) { return true; }, config.train),
        folder(temporary.path() + "/checkpoint", keep) {
    state.config_hash = config_hash(config);
    state.code_version = "test";
    state.generators["dropout"] = {0, 1, 254, 255};
  }
  void move_and_save(int64_t step) {
    adam.zero_grad();
    for (const auto& [name, parameter] : named_tensors(*model)) parameter.mutable_grad() = at::ones_like(parameter);
    adam.step(0.01);
    state.step = step;
    state.loss_sum = 0.1 * static_cast<double>(step);
    folder.save(config, *model, adam.state(), state);
  }
  std::string path(const std::string& name) const { return temporary.path() + "/checkpoint/" + name; }
  std::string load_message() {
    return message_of<CheckpointError>([&] { folder.load(config, *model, into(adam)); });
  }

  TemporaryFolder temporary;
  AdamW adam;
  CheckpointFolder folder;
  TrainerState state;
};

at::Tensor first_parameter(const SequenceModel& model) { return named_tensors(model)[0].second.detach().clone(); }

}  // namespace

TEST_CASE("a checkpoint brings back weights, moments, step, sums and generators exactly", "[train]") {
  Saved saved(tiny_config());
  CHECK(saved.folder.empty());
  saved.move_and_save(3);
  const NamedTensors weights = named_tensors(*saved.model);
  const World fresh(tiny_config());
  AdamW adam(named_tensors(*fresh.model), [](const std::string&) { return true; }, saved.config.train);
  const TrainerState state = saved.folder.load(saved.config, *fresh.model, into(adam));
  CHECK(state.step == 3);
  CHECK(state.loss_sum == saved.state.loss_sum);
  CHECK(state.generators == saved.state.generators);
  CHECK(adam.steps() == 1);
  for (size_t i = 0; i < weights.size(); ++i) CHECK(named_tensors(*fresh.model)[i].second.equal(weights[i].second));
}

TEST_CASE("old checkpoints go, the last ones and the best stay", "[train]") {
  Saved saved(tiny_config(), 2);
  saved.move_and_save(1);
  saved.folder.mark_best(1);
  for (int64_t step = 2; step <= 5; ++step) saved.move_and_save(step);
  CHECK(fs::exists(saved.path("step-1")));
  CHECK_FALSE(fs::exists(saved.path("step-2")));
  CHECK_FALSE(fs::exists(saved.path("step-3")));
  CHECK(fs::exists(saved.path("step-4")));
  CHECK(fs::exists(saved.path("step-5")));
  saved.folder.mark_best(5);
  CHECK_FALSE(fs::exists(saved.path("step-1")));
}

TEST_CASE("every damage is a clear error, and the earlier checkpoint can be used", "[train]") {
  Saved saved(tiny_config(), 2);
  saved.move_and_save(1);
  const at::Tensor earlier = first_parameter(*saved.model);
  saved.move_and_save(2);
  const std::string file =
      saved.path("step-2/") + GENERATE("model.safetensors", "optimizer.safetensors", "trainer.json", "config.ini");
  const std::string damage = GENERATE("cut", "flipped", "empty", "missing");
  std::string bytes = bytes_of(file);
  if (damage == "cut") bytes.resize(bytes.size() - 5);
  if (damage == "empty") bytes.clear();
  if (damage == "flipped") bytes[file.ends_with("json") ? 1 : bytes.size() - 3] ^= 0x40;
  damage == "missing" ? void(fs::remove(file)) : overwrite(file, bytes);
  CAPTURE(file, damage);

  const at::Tensor before = first_parameter(*saved.model);
  const std::string message = saved.load_message();
  CHECK_THAT(message, Contains("step-2") && Contains("to go on from step 1"));
  CHECK(first_parameter(*saved.model).equal(before));
  overwrite(saved.path("latest"), "step-1\n");
  CHECK(saved.folder.load(saved.config, *saved.model, into(saved.adam)).step == 1);
  CHECK(first_parameter(*saved.model).equal(earlier));
}

TEST_CASE("a checkpoint of another model or config is refused", "[train]") {
  Saved saved(tiny_config());
  saved.move_and_save(1);
  const World wider(tiny_config({"model.width=32"}));
  CHECK_THAT(
      message_of<CheckpointError>([&] { init_from(*wider.model, saved.path("step-1")); }),
      Contains("made for another model") && Contains("embedding is float32 [64, 16] there and float32 [64, 32] here"));
  saved.config.train.lr *= 2;
  CHECK_THAT(saved.load_message(), Contains("another config") && Contains("no earlier checkpoint"));
}

TEST_CASE("a process killed while it saves leaves the last checkpoint whole", "[train]") {
  Saved saved(tiny_config());
  saved.move_and_save(1);
  fs::create_directories(saved.path("unfinished-step-2"));
  overwrite(saved.path("unfinished-step-2/model.safetensors"), "half");
  fs::create_directories(saved.path("step-2"));  // renamed, but `latest` not yet replaced
  overwrite(saved.path("step-2/model.safetensors"), "half");
  CHECK(saved.folder.load(saved.config, *saved.model, into(saved.adam)).step == 1);
  saved.move_and_save(2);
  CHECK(saved.folder.load(saved.config, *saved.model, into(saved.adam)).step == 2);
  CHECK_FALSE(fs::exists(saved.path("unfinished-step-2")));
}

TEST_CASE("a model trained on a device that is not here is read on the cpu, and is still the model of its run", "[train]") {
  if (torch::cuda::is_available()) return;  // what it names is here
  Saved saved(tiny_config());
  saved.config.runtime.device = "cuda";
  saved.move_and_save(1);
  const LoadedModel loaded = load_model(saved.path("step-1"));
  CHECK(first_parameter(*loaded.model).equal(first_parameter(*saved.model)));
  CHECK(run_id(loaded.config) == run_id(saved.config));
  CHECK_THAT(message_of<ConfigError>([&] { device_of(loaded.config.runtime); }), Contains("no such device here; use cpu"));
}

TEST_CASE("a model loads from its run folder, checkpoint folder or step folder", "[train]") {
  Saved saved(tiny_config({"model.positions=learned"}));
  saved.move_and_save(4);
  for (const std::string& path : {saved.temporary.path(), saved.path(""), saved.path("step-4")}) {
    const LoadedModel loaded = load_model(path, {"eval.samples=3"});
    CHECK(loaded.step == 4);
    CHECK(loaded.config.eval.samples == 3);
    CHECK(first_parameter(*loaded.model).equal(first_parameter(*saved.model)));
  }
  CHECK_THAT(message_of<ConfigError>([&] { load_model(saved.path("step-4"), {"model.width=8"}); }),
             Contains("leave this out"));
  CHECK_THAT(message_of<ConfigError>([&] { load_model(saved.path("step-4"), {"memory.neural_mlp.expansion=3"}); }),
             Contains("leave this out") && Contains("refresh"));
  CHECK(load_model(saved.path("step-4"), {"memory.off=true", "memory.refresh=8"}).config.memory.off);
  CHECK_THAT(message_of<CheckpointError>([&] { load_model(saved.temporary.path() + "/nowhere"); }),
             Contains("there is no checkpoint"));
}

TEST_CASE("the config of a checkpoint is the one that was saved", "[train]") {
  Saved saved(tiny_config(arm("mag")));
  saved.move_and_save(1);
  const std::string file = saved.path("step-1/config.ini"), ini = bytes_of(file);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = ini;
    REQUIRE(text.find(from) != std::string::npos);
    overwrite(file, text.replace(text.find(from), from.size(), to));
    return message_of<CheckpointError>([&] { load_model(saved.path("step-1")); });
  };
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"window = 8", "window = 4"}, {"refresh = ", "refresh = 1"}, {ini, ""}, {"[model]", "# mine\n[model]"}})
    CHECK_THAT(changed(from, to), Contains("config.ini is not the file that was saved") && Contains("put it back"));
  std::filesystem::remove(file);
  CHECK_THAT(message_of<CheckpointError>([&] { load_model(saved.path("step-1")); }), Contains("config.ini is missing"));
  overwrite(file, ini);
  CHECK(load_model(saved.path("step-1")).step == 1);

  // A checkpoint of an earlier version has no digest of it, and is still read.
  const std::string trainer = saved.path("step-1/trainer.json");
  std::string json = bytes_of(trainer);
  const size_t begin = json.find("\"config.ini\""), end = json.find(',', begin) + 1;
  REQUIRE(end > begin);
  overwrite(trainer, sealed(json.erase(begin, end - begin)));
  CHECK(load_model(saved.path("step-1")).step == 1);
  const size_t seal = json.find("\"sha256\": \"SHA"), after = json.find(',', seal) + 1;  // nor one of itself
  REQUIRE(after > seal);
  overwrite(trainer, json.erase(seal, after - seal));
  CHECK(load_model(saved.path("step-1")).step == 1);
}

TEST_CASE("a checkpoint from before an option is the model that it was then", "[train]") {
  for (const std::string kind : {"mac", "mal"}) {
    Saved saved(tiny_config({"model.kind=" + kind, "memory.kind=linear", "model." + kind + ".residual=false"}));
    saved.move_and_save(1);
    auto without = [&](const std::string& path, const std::string& first, const std::string& last) {
      std::string text = bytes_of(path);
      const size_t begin = text.find(first), end = text.find(last, begin) + last.size();
      REQUIRE(begin < end);
      overwrite(path, sealed(text.erase(begin, end - begin)));
    };
    without(saved.path("step-1/config.ini"), "residual = ", "\n");
    without(saved.path("step-1/trainer.json"), "\"config.ini\"", ",");
    CHECK(config_hash(load_model(saved.path("step-1")).config) == config_hash(saved.config));
    CHECK(config_hash(read_config(saved.path("step-1"), {})) == config_hash(saved.config));  // and as a run folder
    CHECK(config_hash(load_model(saved.path("step-1")).config) != config_hash(tiny_config({"model.kind=" + kind, "memory.kind=linear"})));
  }
}

TEST_CASE("former defaults are options, and texts that options print", "[train]") {
  tiny_config();  // plug-ins are known from here on
  auto check = [](const std::string& kind, Options& options, const FormerDefaults& former) {
    for (const auto& [name, text] : former) {
      INFO(kind << "." << name);
      bool found = false;
      for (Field& field : fields_of(options, ""))
        if (field.key == name) {
          found = true;
          CHECK(field.text() != text);  // else it is no former one
          CHECK(field.parse(text).empty());
          CHECK(field.text() == text);
        }
      CHECK(found);
    }
  };
  size_t checked = 0;
  for (const BlockPlugin& block : BlockRegistry::instance().all())
    if (!block.former.empty()) check(block.name, *block.options(), block.former), ++checked;
  for (const TaskPlugin& task : TaskRegistry::instance().all())
    if (!task.former.empty()) check(task.name, *task.options(), task.former), ++checked;
  CHECK(checked >= 4);
}

TEST_CASE("a checkpoint that sets an option which nothing reads is still read", "[train]") {
  Saved saved(tiny_config({"model.kind=lmm", "memory.kind=gla"}));
  saved.move_and_save(1);
  const std::string trainer = saved.path("step-1/trainer.json"), ini = saved.path("step-1/config.ini");
  std::string json = bytes_of(trainer), text = bytes_of(ini);
  const size_t begin = json.find("\"config.ini\""), end = json.find(',', begin) + 1;
  overwrite(trainer, sealed(json.erase(begin, end - begin)));
  const std::string from = "theta_max = 0.5";
  REQUIRE(text.find(from) != std::string::npos);
  overwrite(ini, text.replace(text.find(from), from.size(), "theta_max = 0.25"));
  CHECK(load_model(saved.path("step-1")).step == 1);
  CHECK_THAT(message_of<ConfigError>([&] { tiny_config({"model.kind=lmm", "memory.kind=gla", "memory.theta_max=0.25"}); }), Contains("does not read it"));
}

TEST_CASE("a vocabulary or length that the weights do not have is damage, not a model of that size", "[train]") {
  Saved saved(tiny_config({"model.positions=learned"}));  // of 64 tokens, for rows of up to 64
  saved.move_and_save(1);
  const std::string file = saved.path("step-1/trainer.json"), json = bytes_of(file);
  for (const char* key : {"vocab", "max_length"})
    for (const char* value : {"-3", "0", "65", "100000000000", "1e11"}) {
      CAPTURE(key, value);
      std::string changed = json;
      const size_t begin = changed.find(':', changed.find(fmt::format("\"{}\"", key))) + 1;
      overwrite(file, sealed(changed.replace(begin, changed.find_first_of(",\n", begin) - begin, value)));
      CHECK_THAT(message_of<CheckpointError>([&] { load_model(saved.path("step-1")); }),
                 Contains("trainer.json is damaged: " + std::string(key) + " = ") && Contains("but the weights have 64"));
    }
}

TEST_CASE("an evaluation refuses what it cannot honour, all of it at once", "[train]") {
  Saved saved(tiny_config(arm("mag")));
  saved.move_and_save(1);
  const auto message = [&](const std::vector<std::string>& overrides) {
    return message_of<ConfigError>([&] { load_model(saved.path("step-1"), overrides); });
  };
  for (const char* refused : {"run.seed=77", "run.folder=x", "train.lr=9", "train.steps=1", "train.init_from=x", "eval.every=5", "task.loss=all",
                              "runtime.dtype=float64", "model.window=4", "memory.heads=2", "memory.kind=neural_mlp"}) {
    INFO(refused);
    CHECK_THAT(message({refused}), Contains(std::string(refused) + ": ") && Contains("leave"));
  }
  CHECK_THAT(message({"run.seed=77", "train.lr=9"}), Contains("run.seed=77") && Contains("train.lr=9") && Contains("eval.seed"));
  CHECK_THAT(message({"memory.of=true"}), Contains("did you mean 'memory.off'?"));
  CHECK_THAT(message({"model.widht=8"}), Contains("did you mean 'model.width'?"));
  const Config config = load_model(saved.path("step-1"), {"run.labels=arm:late", "run.name=late", "eval.seed=3", "task.mqar.test=64x4",
                                                          "runtime.threads=1", "memory.refresh=8"}).config;
  CHECK(config.run.labels == "arm:late");
  CHECK(config.eval.seed == 3);
}

TEST_CASE("weights of a plain safetensors file start a model", "[train]") {
  const World one(tiny_config()), other(tiny_config({"run.seed=2"}));
  TemporaryFolder folder;
  const std::string path = folder.path() + "/weights.safetensors";
  write_safetensors(path, named_tensors(*one.model));
  CHECK_FALSE(first_parameter(*other.model).equal(first_parameter(*one.model)));
  init_from(*other.model, path);
  CHECK(first_parameter(*other.model).equal(first_parameter(*one.model)));
}

TEST_CASE("weights that are not finite are refused, with the tensor and the place", "[train][checkpoint]") {
  TemporaryFolder folder;
  const World world(tiny_config(arm("mag")));
  const std::string file = folder / "w.safetensors";
  write_safetensors(file, named_tensors(*world.model));
  init_from(*world.model, file);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    NamedTensors tensors;
    for (const auto& [name, tensor] : named_tensors(*world.model)) tensors.emplace_back(name, tensor.detach().clone());
    tensors[0].second.flatten()[5] = bad;
    write_safetensors(file, tensors);
    CHECK_THAT(message_of<CheckpointError>([&] { init_from(*world.model, file); }),
               Contains(file + ": 1 of the ") && Contains(tensors[0].first + " are not finite, the first at place 5"));
    for (const auto& [name, tensor] : named_tensors(*world.model)) CHECK(at::isfinite(tensor).all().item<bool>());
  }
}
