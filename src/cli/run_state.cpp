#include "cli/run_state.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/hdf5.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

// The end of metrics.jsonl that is read: more than the lines of one evaluation.
constexpr std::streamoff kTailBytes = 1 << 16;

void read_line(const nlohmann::json& line, RunProgress& progress, std::string& evaluation) {
  const std::string type = line.value("type", "");
  const int64_t step = line.value("step", int64_t{0});
  progress.step = std::max(progress.step, step);
  const Metric metric = Metric::named(line.value("metric", "")).value_or(Metric::accuracy);
  const char* name = metric.name();
  if (type != "eval" || !line.contains(name) || !line[name].is_number()) return;
  const std::string of = line.value("split", "") + std::to_string(step);
  if (of != evaluation) progress.settings = 0, progress.value = 0;
  progress.metric = metric;
  evaluation = of;
  ++progress.settings;
  progress.value += (line[name].get<double>() - progress.value) / static_cast<double>(progress.settings);
}

}  // namespace

RunState read_run_state(const std::string& folder) {
  const std::string path = folder + "/run.h5";
  if (!fs::exists(path)) return {};
  try {
    const h5::File file = h5::File::load(path);
    return {file.text("status"), file.has_attribute("error") ? file.text("error") : "", file.text("code_version"),
            file.has_attribute("config_hash") ? file.text("config_hash") : ""};
  } catch (const h5::AccessError& error) {
    return {"unreadable", error.what(), "", ""};
  } catch (const DataError&) {
    return {};
  }
}

RunProgress read_run_progress(const std::string& folder) {
  RunProgress progress;
  std::ifstream file(folder + "/metrics.jsonl");
  if (!file) return progress;
  file.seekg(0, std::ios::end);
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  std::string line, evaluation;
  if (size > kTailBytes) std::getline(file, line);  // the rest of a line
  while (std::getline(file, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (json.is_object()) read_line(json, progress, evaluation);
  }
  return progress;
}

}  // namespace mneme
