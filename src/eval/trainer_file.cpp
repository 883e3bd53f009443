#include "eval/trainer_file.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "base/files.h"
#include "base/text.h"
#include "io/seal.h"

namespace mneme {

namespace {

using Json = nlohmann::json;

constexpr int kTrainerSchema = 1;
constexpr const char* kTrainerSeal = "sha256";
constexpr size_t kLargestTrainer = size_t{64} << 20;  // generator states are a few kB each
constexpr size_t kDeepestTrainer = 8;

std::string hex_of(const std::vector<uint8_t>& bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

std::vector<uint8_t> from_hex(const std::string& text, const std::string& source) {
  std::vector<uint8_t> bytes(text.size() / 2);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, bytes[i], 16);
    if (error != std::errc() || end != text.data() + 2 * i + 2)
      throw CheckpointError(source + " is damaged: a generator state is not hexadecimal; take an earlier checkpoint");
  }
  return bytes;
}

}  // namespace

Json read_trainer_json(const std::string& folder) {
  const std::string path = folder + "/trainer.json";
  try {
    const std::string text = read_file(path, kLargestTrainer);
    require_unbroken(path, text);
    if (json_depth(text) > kDeepestTrainer) throw DataError(path + " is damaged (its lists lie too deep in each other)");
    Json json = Json::parse(text);
    if (json.contains(kTrainerSeal) && seal_of(text) == Seal::none) throw DataError(path + " is damaged (its SHA-256 is)");
    if (const int schema = json.at("schema").get<int>(); schema != kTrainerSchema)
      throw CheckpointError(fmt::format("{} has schema {}; this program reads {}", path, schema, kTrainerSchema));
    return json;
  } catch (const Json::exception& error) {
    throw CheckpointError(path + " is damaged (" + error.what() + "); take an earlier checkpoint");
  } catch (const DataError& error) {
    throw CheckpointError(std::string(error.what()) + "; a checkpoint needs it as it was saved: take an earlier one");
  }
}

void write_trainer_json(const std::string& folder, Json trainer) {
  trainer[kTrainerSeal] = unfilled_seal();
  atomic_write(folder + "/trainer.json", sealed(trainer.dump(1) + "\n"));
}

Json trainer_json(const TrainerState& state) {
  Json generators = Json::object();
  for (const auto& [stream, bytes] : state.generators) generators[stream] = hex_of(bytes);
  return {{"schema", kTrainerSchema},        {"step", state.step},
          {"tokens", state.tokens},          {"wall_seconds", state.wall_seconds},
          {"loss_sum", state.loss_sum},      {"loss_steps", state.loss_steps},
          {"generators", generators},        {"config_hash", state.config_hash},
          {"code_version", state.code_version}, {"data", state.data}};
}

TrainerState trainer_state(const Json& trainer, const std::string& folder) {
  return reading_trainer(folder, [&] {
    TrainerState state;
    state.config_hash = trainer.at("config_hash").get<std::string>();
    state.step = trainer.at("step").get<int64_t>();
    state.tokens = trainer.at("tokens").get<int64_t>();
    state.wall_seconds = trainer.at("wall_seconds").get<double>();
    state.loss_sum = trainer.at("loss_sum").get<double>();
    state.loss_steps = trainer.at("loss_steps").get<int64_t>();
    state.code_version = trainer.at("code_version").get<std::string>();
    state.data = trainer.value("data", std::map<std::string, std::string>());
    for (const auto& [stream, text] : trainer.at("generators").items())
      state.generators[stream] = from_hex(text.get<std::string>(), folder + "/trainer.json");
    return state;
  });
}

}  // namespace mneme
