#include "cli/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "config/config.h"
#include "cli/run_state.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "eval/batch.h"
#include "eval/evaluate.h"
#include "eval/make.h"

namespace mneme {
namespace {

struct Tokens {
  int64_t training = 0, test = 0;
};

Tokens tokens_of(const Config& config) {
  const std::unique_ptr<Task> task = make_task(config);
  Tokens tokens;
  const StepPlan steps(*task, config.train, config.run.seed);
  for (int64_t step = 0; step < config.train.steps; ++step) {
    const StepRows rows = steps.at(step);
    tokens.training += rows.rows * task->length(rows.setting);
  }
  for (const Setting& setting : task->test_settings())
    tokens.test += eval_rows(*task, config.eval, Split::test, setting) * task->length(setting);
  return tokens;
}

/// What the number of tokens depends on: runs that differ in the model only are counted once.
std::string token_key(const Config& config) {
  std::string key;
  for (const auto& [name, value] : flat_values(config))
    if (name.rfind("task.", 0) == 0 || name.rfind("eval.", 0) == 0 || name.rfind("train.", 0) == 0)
      if (name != "train.lr") key += name + "=" + value + "\n";
  return key;
}

std::string millions(int64_t tokens) { return fmt::format("{:.1f} M", static_cast<double>(tokens) / 1e6); }

/// "arm:rope seed:100 model.heads:2 lr:0.016 beyond:1"
std::string describe_run(const Sweep& sweep, const SweepRun& run, bool known) {
  std::string text = labels_text(run.labels) + fmt::format(" seed:{}", run.config.run.seed);
  if (!run.tuning) return text;
  if (const std::string searched = searched_text(sweep, run); !searched.empty()) text += " " + searched;
  text += " lr:" + (known ? format_number(run.config.train.lr) : "?");
  return run.extension > 0 ? text + fmt::format(" beyond:{}", run.extension) : text;
}

/// The trials beyond the grid that there may be, in the order of their indices.
void add_extensions(const Sweep& sweep, const std::vector<Choice>& choices, SweepPlan& plan) {
  for (int64_t extension = 1; extension <= most_extensions(sweep); ++extension)
    for (size_t i = 0; i < choices.size(); ++i)
      for (size_t candidate = 0; candidate < sweep.candidates[i].size(); ++candidate) {
        const auto is_it = [&](const Trial& trial) { return trial.run.candidate == candidate && trial.run.extension == extension; };
        const auto known = std::find_if(choices[i].trials.begin(), choices[i].trials.end(), is_it);
        if (known != choices[i].trials.end()) {
          plan.runs.push_back(known->run);
          plan.waiting.emplace_back();
        } else {
          plan.runs.push_back(choices[i].trials.at(0).run);
          plan.runs.back().candidate = candidate;
          plan.runs.back().extension = extension;
          plan.waiting.emplace_back(choices[i].open[candidate] ? SweepPlan::kMayCome : SweepPlan::kNotNeeded);
        }
      }
}

}  // namespace

SweepPlan plan_sweep(const Sweep& sweep, const std::vector<Choice>& choices) {
  SweepPlan plan;
  plan.runs = sweep.tuning;
  plan.waiting.resize(plan.runs.size());
  add_extensions(sweep, choices, plan);
  plan.tuning = plan.runs.size();
  std::vector<Tuned> tuned;
  for (const Choice& choice : choices) tuned.push_back(choice.tuned.value_or(Tuned{0, sweep.lr.empty() ? 0 : sweep.lr.front()}));
  for (SweepRun& run : sweep.runs(tuned)) {
    const Choice* choice = choices.empty() ? nullptr : &choices[run.combination];
    plan.waiting.emplace_back(!choice || choice->tuned ? "" : choice->pending() ? "after tuning" : "no trial finished");
    plan.runs.push_back(std::move(run));
  }
  return plan;
}

SweepPlan plan_sweep(const Sweep& sweep) {
  return plan_sweep(sweep, sweep.tuning.empty() ? std::vector<Choice>{} : choose(sweep));
}

std::string list_runs(const Sweep& sweep, const SweepPlan& plan) {
  std::vector<std::vector<std::string>> rows{{"index", "run id", "state", "labels"}};
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const SweepRun& run = plan.runs[i];
    const std::string& waiting = plan.waiting[i];
    const std::string status = waiting.empty() ? read_run_state(run_folder(run.config)).status : "";
    rows.push_back({std::to_string(i), waiting.empty() ? run.id : "(" + waiting + ")", status.empty() ? "-" : status,
                    describe_run(sweep, run, waiting.empty())});
  }
  return text_table(rows);
}

std::string estimate(const SweepPlan& plan) {
  std::map<std::string, Tokens> known;
  Tokens total, more;
  size_t done = 0, runs = 0, trials = 0, may_come = 0;
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    if (plan.waiting[i] == SweepPlan::kNotNeeded) continue;
    const SweepRun& run = plan.runs[i];
    const bool known_to_come = plan.waiting[i] != SweepPlan::kMayCome;
    const std::string key = token_key(run.config);
    if (!known.count(key)) known[key] = tokens_of(run.config);
    Tokens& sum = known_to_come ? total : more;
    sum.training += known[key].training;
    sum.test += known[key].test;
    if (!known_to_come) {
      ++may_come;
      continue;
    }
    ++runs;
    trials += run.tuning;
    if (plan.waiting[i].empty() && read_run_state(run_folder(run.config)).finished()) ++done;
  }
  std::string text = fmt::format("{} runs", runs);
  if (trials > 0) text += fmt::format(" ({} of them trials on the tuning seed)", trials);
  text += fmt::format(", {} done\ntraining tokens about {}, test tokens about {}\n", done, millions(total.training), millions(total.test));
  if (may_come > 0)
    text += fmt::format("up to {} more trials where the best learning rate lies at an edge: training tokens {}, test tokens {}\n", may_come,
                        millions(more.training), millions(more.test));
  return text;
}

}  // namespace mneme
