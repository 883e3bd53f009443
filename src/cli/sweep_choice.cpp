#include "cli/sweep_choice.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "config/config.h"
#include "cli/run_state.h"
#include "mneme/errors.h"
#include "results/run_file.h"

namespace mneme {
namespace {

LrTrial read_trial(const SweepRun& run, std::optional<Metric>& metric) {
  const std::string folder = run_folder(run.config);
  LrTrial trial{run.config.train.lr, run.id, read_run_state(folder).status, std::nan(""), std::nan("")};
  if (trial.status != "done") return trial;
  const RunRecord record = read_run(folder);
  const Evaluation* evaluation = record.last_evaluation(run.config.task.kind, "validation");
  if (!evaluation)
    throw StoreError(
        fmt::format("{}/run.h5 has no evaluation on the validation split, by which the learning rate is chosen; "
                    "remove the folder and launch the sweep again",
                    folder));
  metric = evaluation->metric;
  trial.value = evaluation->value();
  trial.loss = evaluation->mean(Metric::loss);
  return trial;
}

/// By the metric, then the loss, then the lower rate.
bool better(const LrTrial& trial, const LrTrial& than, const Metric& metric) {
  if (trial.value != than.value) return metric.better(trial.value, than.value);
  if (trial.loss != than.loss) return Metric::loss.better(trial.loss, than.loss);
  return trial.lr < than.lr;
}

void choose(LrChoice& choice) {
  const LrTrial* best = nullptr;
  for (const LrTrial& trial : choice.trials) {
    if (trial.status == "" || trial.status == "running") choice.pending = true;
    if (trial.status != "done" || !std::isfinite(trial.value)) continue;
    if (!best || better(trial, *best, *choice.metric)) best = &trial;
  }
  if (best && !choice.pending) choice.chosen = best->lr;
}

}  // namespace

std::vector<LrChoice> choose_lr(const Sweep& sweep) {
  std::vector<LrChoice> result;
  for (size_t i = 0; i < sweep.combinations.size(); ++i) {
    LrChoice choice;
    choice.labels = sweep.combinations[i];
    for (const SweepRun& run : sweep.tuning)
      if (run.labels == choice.labels) choice.trials.push_back(read_trial(run, choice.metric));
    choose(choice);
    result.push_back(std::move(choice));
  }
  return result;
}

std::string labels_text(const Labels& labels) {
  std::vector<std::string> parts;
  for (const auto& [axis, value] : labels) parts.push_back(axis + ":" + value);
  return parts.empty() ? "all" : join(parts, " ");
}

std::string describe_choice(const std::vector<LrChoice>& choices) {
  std::string text = "learning rates, by the validation split (* = chosen)\n";
  for (const LrChoice& choice : choices) {
    text += fmt::format("  {}:", labels_text(choice.labels));
    for (const LrTrial& trial : choice.trials) {
      text += fmt::format("  {} {}{}", trial.lr == choice.chosen ? "*" : "", format_number(trial.lr), " → ");
      text += trial.status == "done" ? fmt::format("{} {:.4f}, loss {:.4f}", choice.metric->name(), trial.value, trial.loss)
                                     : (trial.status.empty() ? "not run" : trial.status);
    }
    text += "\n";
  }
  return text;
}

std::string store_choice(const Sweep& sweep, const std::vector<LrChoice>& choices) {
  nlohmann::ordered_json json{
      {"sweep", sweep.name}, {"split", "validation"}, {"combinations", nlohmann::json::array()}};
  for (const LrChoice& choice : choices) {
    nlohmann::ordered_json entry{{"labels", nlohmann::ordered_json::object()},
                                 {"metric", choice.metric ? choice.metric->name() : ""},
                                 {"chosen", choice.chosen > 0 ? nlohmann::ordered_json(choice.chosen) : nullptr},
                                 {"trials", nlohmann::json::array()}};
    for (const auto& [axis, value] : choice.labels) entry["labels"][axis] = value;
    for (const LrTrial& trial : choice.trials)
      entry["trials"].push_back({{"lr", trial.lr},
                                 {"run_id", trial.run_id},
                                 {"status", trial.status},
                                 {"value", trial.value},
                                 {"loss", trial.loss}});
    json["combinations"].push_back(entry);
  }
  const std::string folder = sweep.tuning.front().config.run.folder;
  const std::string path = (std::filesystem::path(folder) / (sweep.name + ".lr.json")).string();
  make_folders(folder);
  atomic_write(path, json.dump(2) + "\n");
  return path;
}

}  // namespace mneme
