#include "eval/checkpoint.h"

#include <ATen/ops/isfinite.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/provenance.h"
#include "io/sha256.h"
#include "base/text.h"
#include "mneme/errors.h"
#include "eval/eval_overrides.h"
#include "eval/make.h"
#include "eval/runtime.h"
#include "eval/trainer_file.h"

namespace mneme {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kConfigFile = "config.ini";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char *kStatePrefix = "step-", *kUnfinishedPrefix = "unfinished-";

std::string step_name(int64_t step) { return kStatePrefix + std::to_string(step); }

/// Steps of the whole checkpoints in the folder, newest first.
std::vector<int64_t> saved_steps(const std::string& folder) {
  std::vector<int64_t> steps;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kStatePrefix) || !entry.is_directory()) continue;
    const std::string digits = name.substr(std::string(kStatePrefix).size());
    if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos && digits.size() < 19)
      steps.push_back(std::stoll(digits));
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

TensorFile read_checked(const std::string& folder, const char* name, const Json& trainer) {
  TensorFile file = read_safetensors(folder + "/" + name);
  if (file.sha256 != trainer.at("files").at(name).get<std::string>())
    throw CheckpointError(
        folder + "/" + name + " is not the file that was saved (its SHA-256 differs from trainer.json); " +
        "take an earlier checkpoint, or start from these weights by --init-from with the file itself");
  return file;
}

/// Weights that are not finite answer nothing, and would not be noticed before an answer is asked for.
void assign_weights(SequenceModel& model, const TensorFile& weights, const std::string& source) {
  for (const auto& [name, tensor] : weights.tensors) {
    const at::Tensor bad = at::isfinite(tensor).logical_not().flatten().nonzero();
    if (bad.size(0) > 0)
      throw CheckpointError(fmt::format("{}: {} of the {} numbers of {} are not finite, the first at place {}: a model of these weights answers "
                                        "nothing; take others", source, bad.size(0), tensor.numel(), name, bad[0].item<int64_t>()));
  }
  assign_tensors(named_tensors(model), weights.tensors, source);
}

/// The bytes of config.ini. Checkpoints of versions before its digest was stored are taken as they are.
std::string read_config(const std::string& folder, const Json& trainer) {
  const std::string path = folder + "/" + kConfigFile;
  if (!fs::exists(path)) throw CheckpointError(path + " is missing; a checkpoint needs it: put it back, or take an earlier checkpoint");
  const std::string text = read_file(path);
  const Json& files = trainer.at("files");
  if (files.contains(kConfigFile) && sha256_hex(text) != files.at(kConfigFile).get<std::string>())
    throw CheckpointError(path + " is not the file that was saved (its SHA-256 differs from trainer.json), and with other options " +
                          "the weights are another model; put it back, or take an earlier checkpoint");
  return text;
}

}  // namespace

NamedTensors named_tensors(const SequenceModel& model) {
  NamedTensors tensors;
  for (const auto& parameter : model.named_parameters()) tensors.emplace_back(parameter.key(), parameter.value());
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return tensors;
}

CheckpointFolder::CheckpointFolder(std::string folder, int64_t keep)
    : folder_(std::move(folder)), keep_(std::max<int64_t>(1, keep)) {}

bool CheckpointFolder::empty() const { return pointed_to(folder_, "latest").empty(); }

void CheckpointFolder::save(const Config& config, SequenceModel& model, const NamedTensors& optimizer, const TrainerState& state) {
  make_folders(folder_);
  const std::string name = step_name(state.step), unfinished = folder_ + "/" + kUnfinishedPrefix + name;
  if (pointed_to(folder_, "latest") == name) return;  // the run resumed here and did not move
  remove_unfinished_steps();
  make_folders(unfinished);
  try {
    Json files;
    files[kModelFile] = write_safetensors(unfinished + "/" + kModelFile, named_tensors(model),
                                          {{"format", "pt"}, {"config_hash", state.config_hash}});
    files[kOptimizerFile] = write_safetensors(unfinished + "/" + kOptimizerFile, optimizer);
    const std::string ini = canonical_ini(config);
    files[kConfigFile] = sha256_hex(ini);
    Json json = trainer_json(state);
    json["saved_utc"] = utc_now();
    json["vocab"] = model.shape().vocab;
    json["max_length"] = model.shape().max_length;
    json["parameters"] = model.parameter_count();
    json["files"] = files;
    if (!model.shape().objective().of_tokens()) json["inputs"] = model.shape().inputs, json["outputs"] = model.shape().outputs;
    atomic_write(unfinished + "/" + kConfigFile, ini);
    write_trainer_json(unfinished, std::move(json));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw;
  }
  // A folder of this name is left from a process that died right here, before `latest` pointed to it.
  fs::remove_all(folder_ + "/" + name);
  fs::rename(unfinished, folder_ + "/" + name);
  atomic_write(folder_ + "/latest", name + "\n");
  remove_old();
}

/// Of a process that died while it saved.
void CheckpointFolder::remove_unfinished_steps() const {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored))
    if (entry.path().filename().string().starts_with(kUnfinishedPrefix)) fs::remove_all(entry.path(), ignored);
}

void CheckpointFolder::mark_best(int64_t step) {
  atomic_write(folder_ + "/best", step_name(step) + "\n");
  remove_old();
}

void CheckpointFolder::remove_old() const {
  const std::string latest = pointed_to(folder_, "latest"), best = pointed_to(folder_, "best");
  int64_t kept = 0;
  for (int64_t step : saved_steps(folder_)) {
    const std::string name = step_name(step);
    if (name == best || name == latest) {
      kept += name == latest;
    } else if (kept++ >= keep_) {
      std::error_code ignored;
      fs::remove_all(folder_ + "/" + name, ignored);
    }
  }
}

TrainerState CheckpointFolder::load(const Config& config, SequenceModel& model,
                                    const std::function<void(const TensorFile&, const std::string&)>& optimizer) const {
  std::string name;
  try {
    name = pointed_to(folder_, "latest");
    const std::string folder = latest_checkpoint(folder_);
    const Json json = read_trainer_json(folder);
    return reading_trainer(folder, [&] {
      TrainerState state = trainer_state(json, folder);
      if (state.config_hash != config_hash(config))
        throw CheckpointError(
            fmt::format("{} was made from another config (hash {}, this one has {}): choose another "
                        "run.name, or start from its weights by --init-from",
                        folder, state.config_hash, config_hash(config)));
      read_config(folder, json);
      const TensorFile weights = read_checked(folder, kModelFile, json),
                       moments = read_checked(folder, kOptimizerFile, json);
      assign_weights(model, weights, folder + "/" + kModelFile);
      optimizer(moments, folder + "/" + kOptimizerFile);
      return state;
    });
  } catch (const CheckpointError& error) {
    for (int64_t step : saved_steps(folder_))
      if (step_name(step) != name)
        throw CheckpointError(fmt::format("{}\n  to go on from step {}: echo {} > {}/latest", error.what(), step,
                                          step_name(step), folder_));
    throw CheckpointError(
        fmt::format("{}\n  there is no earlier checkpoint: delete {} to train again", error.what(), folder_));
  }
}

Config checkpoint_config(const std::string& path, const std::vector<std::string>& overrides) {
  const std::string folder = find_checkpoint(path), file = folder + "/" + kConfigFile;
  const Json json = read_trainer_json(folder);
  Settings settings = Settings::from_text(reading_trainer(folder, [&] { return read_config(folder, json); }), file, folder);
  fill_in_former_defaults(settings, file);
  check_eval_overrides(overrides);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  return resolve(settings, DataFiles::may_be_missing);
}

namespace {

/// What trainer.json, which had no seal in former versions, says of the shape must be what the weights are: `rows` of a tensor.
int64_t checked_size(const std::string& folder, const char* key, int64_t value, std::optional<int64_t> rows) {
  if (value >= 1 && value == rows.value_or(value)) return value;
  const std::string fact = rows ? fmt::format("the weights have {}", *rows) : "it must be at least 1";
  throw CheckpointError(fmt::format("{}/trainer.json is damaged: {} = {}, but {}; take an earlier checkpoint", folder, key, value, fact));
}

SequenceModel::Shape saved_shape(const std::string& folder, const Json& trainer, const TensorFile& weights) {
  const auto size = [&](const char* name, int64_t axis) -> std::optional<int64_t> {
    const at::Tensor* tensor = weights.find(name);
    return tensor && tensor->dim() > axis ? std::optional(tensor->size(axis)) : std::nullopt;
  };
  const auto rows = [&](const char* name) { return size(name, 0); };
  const auto number = [&](const char* key) { return trainer.at(key).get<int64_t>(); };
  const int64_t max_length = checked_size(folder, "max_length", number("max_length"), rows("positions"));
  if (size("inputs", 1))  // a model of vectors
    return {0, max_length, checked_size(folder, "inputs", number("inputs"), size("inputs", 1)),
            checked_size(folder, "outputs", number("outputs"), rows("head"))};
  if (!rows("embedding")) throw CheckpointError(folder + "/" + kModelFile + " has no tensor 'embedding': these are no weights of mneme");
  return {checked_size(folder, "vocab", number("vocab"), rows("embedding")), max_length};
}

Config on_this_machine(Config config) {
  if (device_is_here(config.runtime)) return config;
  fmt::print(stderr, "mneme: this model was trained on {}, which is not here: read on the cpu\n", config.runtime.device);
  config.runtime.device = "cpu";
  return config;
}

}  // namespace

LoadedModel load_model(const std::string& path, const Config& config) {
  LoadedModel loaded{config, nullptr, 0, find_checkpoint(path)};
  const Json json = read_trainer_json(loaded.folder);
  reading_trainer(loaded.folder, [&] {
    loaded.step = json.at("step").get<int64_t>();
    const std::string name = std::filesystem::path(loaded.folder).filename().string();
    if (name.starts_with(kStatePrefix) && name != step_name(loaded.step))
      throw CheckpointError(fmt::format("{} holds step {}: it is a copy of another step folder or was renamed; put back what it was",
                                        loaded.folder, loaded.step));
    const TensorFile weights = read_checked(loaded.folder, kModelFile, json);
    loaded.model = make_model(on_this_machine(loaded.config), saved_shape(loaded.folder, json, weights));
    assign_weights(*loaded.model, weights, loaded.folder + "/" + kModelFile);
  });
  return loaded;
}

LoadedModel load_model(const std::string& path, const std::vector<std::string>& overrides) {
  return load_model(path, checkpoint_config(path, overrides));
}

std::vector<std::string> changed_data(const std::string& path, const Config& config) {
  const std::string folder = find_checkpoint(path);
  const Json json = read_trainer_json(folder);
  const auto before = reading_trainer(folder, [&] { return json.value("data", std::map<std::string, std::string>()); });
  std::vector<std::string> changed;
  for (const auto& [file, digest] : data_digests(config))
    if (const auto known = before.find(file); known != before.end() && known->second != digest) changed.push_back(file);
  return changed;
}

void init_from(SequenceModel& model, const std::string& path, const std::string& sha256) {
  const std::string file = weights_file(path);
  TensorFile weights;
  if (file == path) {
    weights = read_safetensors(file);
  } else {
    const std::string folder = find_checkpoint(path);
    const Json json = read_trainer_json(folder);
    weights = reading_trainer(folder, [&] { return read_checked(folder, kModelFile, json); });
  }
  if (!sha256.empty() && weights.sha256 != sha256)
    throw CheckpointError(fmt::format("the weights at {} have changed (SHA-256 {}…, but train.init_sha256 = {}…): give those this run was "
                                      "to start from, or start another run by --init-from {}",
                                      path, weights.sha256.substr(0, 12), sha256.substr(0, 12), path));
  assign_weights(model, weights, file);
}

}  // namespace mneme
