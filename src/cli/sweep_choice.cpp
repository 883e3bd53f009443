#include "cli/sweep_choice.h"

#include <fmt/format.h>

#include <algorithm>
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

Trial read_trial(const SweepRun& run, std::optional<Metric>& metric) {
  using State = RateTrial::State;
  const std::string folder = run_folder(run.config);
  Trial trial{run, read_run_state(folder).status, {run.config.train.lr, State::open, std::nan(""), std::nan("")}};
  if (trial.status == "failed") trial.result.state = State::failed;
  if (trial.status == "diverged") trial.result.state = State::diverged;
  if (trial.status != "done") return trial;
  const RunRecord record = read_run(folder);
  const Evaluation* evaluation = record.last_evaluation(run.config.task.kind, "validation");
  if (!evaluation)
    throw StoreError(
        fmt::format("{}/run.h5 has no evaluation on the validation split, by which the learning rate is chosen; "
                    "remove the folder and launch the sweep again",
                    folder));
  metric = evaluation->metric;
  trial.result.value = evaluation->value();
  trial.result.loss = evaluation->mean(evaluation->metric.training_loss());
  trial.result.state = std::isfinite(trial.result.value) ? State::done : State::diverged;
  return trial;
}

/// The trials of one candidate, as far as the results say which there are, and what they come to.
struct CandidateTrials {
  std::vector<Trial> trials;
  RateChoice choice;
};

CandidateTrials read_candidate(const Sweep& sweep, std::vector<SweepRun> grid, std::optional<Metric>& metric) {
  CandidateTrials candidate;
  for (const SweepRun& run : grid) candidate.trials.push_back(read_trial(run, metric));
  for (int64_t left = most_extensions(sweep);; --left) {
    std::vector<RateTrial> results;
    for (const Trial& trial : candidate.trials) results.push_back(trial.result);
    candidate.choice = choose_rate(results, metric.value_or(Metric::accuracy), left);
    if (!candidate.choice.next) return candidate;
    const SweepRun& of = grid.front();
    const int64_t extension = most_extensions(sweep) - left + 1;
    candidate.trials.push_back(read_trial(sweep.trial(of.combination, of.candidate, *candidate.choice.next, extension), metric));
  }
}

bool is_chosen(const Choice& choice, const Trial& trial) {
  return choice.tuned && choice.tuned->candidate == trial.run.candidate && choice.tuned->lr == trial.result.rate;
}

nlohmann::ordered_json labels_json(const Labels& labels) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : labels) json[name] = value;
  return json;
}

}  // namespace

bool Choice::pending() const { return std::count(open.begin(), open.end(), true) > 0; }

int64_t most_extensions(const Sweep& sweep) { return sweep.lr.size() < 2 ? 0 : sweep.lr_extend; }

std::vector<Choice> choose(const Sweep& sweep) {
  std::vector<Choice> result;
  auto next = sweep.tuning.begin();
  for (size_t i = 0; i < sweep.combinations.size(); ++i) {
    Choice choice;
    choice.labels = sweep.combinations[i];
    const RateTrial* best = nullptr;
    std::vector<CandidateTrials> candidates;
    for (size_t candidate = 0; candidate < sweep.candidates[i].size(); ++candidate) {
      std::vector<SweepRun> grid;
      while (next != sweep.tuning.end() && next->combination == i && next->candidate == candidate) grid.push_back(*next++);
      if (!grid.empty()) candidates.push_back(read_candidate(sweep, std::move(grid), choice.metric));
    }
    Tuned tuned;
    for (size_t candidate = 0; candidate < candidates.size(); ++candidate) {
      const RateChoice& rate = candidates[candidate].choice;
      const std::vector<Trial>& trials = candidates[candidate].trials;
      choice.open.push_back(rate.open);
      tuned.trials += static_cast<int64_t>(trials.size());
      choice.trials.insert(choice.trials.end(), trials.begin(), trials.end());
      if (!rate.best) continue;
      const RateTrial& trial = trials[*rate.best].result;
      if (best && !better_trial(trial, *best, *choice.metric)) continue;
      best = &trial;
      tuned.candidate = candidate;
      tuned.lr = trial.rate;
      tuned.at_edge = rate.at_edge && !sweep.lr.empty();
    }
    if (best && !choice.pending()) choice.tuned = tuned;
    result.push_back(std::move(choice));
  }
  return result;
}

std::string labels_text(const Labels& labels) {
  std::vector<std::string> parts;
  for (const auto& [axis, value] : labels) parts.push_back(axis + ":" + value);
  return parts.empty() ? "all" : join(parts, " ");
}

std::string searched_text(const Sweep& sweep, const SweepRun& run) {
  const Labels& labels = sweep.candidates[run.combination][run.candidate].labels;
  return labels.empty() ? "" : labels_text(labels);
}

std::string describe_choice(const Sweep& sweep, const std::vector<Choice>& choices) {
  std::string text = "chosen by the validation split (*), learning rates and what else is searched\n";
  for (const Choice& choice : choices) {
    text += fmt::format("  {}:", labels_text(choice.labels));
    for (const Trial& trial : choice.trials) {
      const std::string searched = searched_text(sweep, trial.run);
      text += fmt::format("  {}{}{} → ", is_chosen(choice, trial) ? "*" : "", searched.empty() ? "" : searched + " ", format_number(trial.result.rate));
      text += trial.status == "done" && !std::isfinite(trial.result.value) ? "not finite"
              : trial.status == "done" ? fmt::format("{} {:.4f}, loss {:.4f}", choice.metric->name(), trial.result.value, trial.result.loss)
                                     : (trial.status.empty() ? "not run" : trial.status);
    }
    if (choice.tuned && choice.tuned->at_edge) text += "  (at the edge of the rates tried)";
    text += "\n";
  }
  return text;
}

std::string store_choice(const Sweep& sweep, const std::vector<Choice>& choices) {
  nlohmann::ordered_json json{
      {"sweep", sweep.name}, {"split", "validation"}, {"combinations", nlohmann::json::array()}};
  for (size_t i = 0; i < choices.size(); ++i) {
    const Choice& choice = choices[i];
    const std::vector<AxisValue>& candidates = sweep.candidates[i];
    nlohmann::ordered_json entry{{"labels", labels_json(choice.labels)},
                                 {"metric", choice.metric ? choice.metric->name() : ""},
                                 {"chosen", choice.tuned ? nlohmann::ordered_json(choice.tuned->lr) : nullptr}};
    if (choice.tuned) entry["at_edge"] = choice.tuned->at_edge;
    if (choice.tuned && candidates.size() > 1) entry["searched"] = labels_json(candidates[choice.tuned->candidate].labels);
    entry["trials"] = nlohmann::json::array();
    for (const Trial& trial : choice.trials) {
      nlohmann::ordered_json each{{"lr", trial.result.rate},
                                  {"run_id", trial.run.id},
                                  {"status", trial.status},
                                  {"value", trial.result.value},
                                  {"loss", trial.result.loss}};
      if (candidates.size() > 1) each["searched"] = labels_json(candidates[trial.run.candidate].labels);
      entry["trials"].push_back(each);
    }
    json["combinations"].push_back(entry);
  }
  const std::string folder = sweep.tuning.front().config.run.folder;
  const std::string path = (std::filesystem::path(folder) / (sweep.name + ".lr.json")).string();
  make_folders(folder);
  remove_unfinished(folder, sweep.name + ".lr.json");
  atomic_write(path, json.dump(2) + "\n");
  return path;
}

}  // namespace mneme
