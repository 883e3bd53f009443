#include "cli/sweep_plan.h"

#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "config/config.h"
#include "cli/run_state.h"
#include "cli/sweep_choice.h"
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

std::string describe_run(const SweepRun& run) {
  std::string text = labels_text(run.labels) + fmt::format(" seed:{}", run.config.run.seed);
  return run.tuning ? text + " lr:" + format_number(run.config.train.lr) : text;
}

}  // namespace

SweepPlan plan_sweep(const Sweep& sweep) {
  SweepPlan plan;
  plan.runs = sweep.tuning;
  plan.tuning = sweep.tuning.size();
  const std::vector<LrChoice> choices = sweep.lr.empty() ? std::vector<LrChoice>{} : choose_lr(sweep);
  std::vector<double> rates;
  std::map<Labels, std::string> waiting;
  for (const LrChoice& choice : choices) {
    rates.push_back(choice.chosen > 0 ? choice.chosen : sweep.lr.front());
    if (choice.chosen == 0) waiting[choice.labels] = choice.pending ? "after tuning" : "no trial finished";
  }
  for (SweepRun& run : sweep.runs(rates)) plan.runs.push_back(std::move(run));
  for (const SweepRun& run : plan.runs) plan.waiting.push_back(run.tuning ? "" : waiting[run.labels]);
  return plan;
}

std::string list_runs(const SweepPlan& plan) {
  std::vector<std::vector<std::string>> rows{{"index", "run id", "state", "labels"}};
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const SweepRun& run = plan.runs[i];
    const std::string& waiting = plan.waiting[i];
    const std::string status = waiting.empty() ? read_run_state(run_folder(run.config)).status : "";
    rows.push_back({std::to_string(i), waiting.empty() ? run.id : "(" + waiting + ")", status.empty() ? "-" : status,
                    describe_run(run)});
  }
  return text_table(rows);
}

std::string estimate(const SweepPlan& plan) {
  std::map<std::string, Tokens> known;
  Tokens total;
  size_t done = 0;
  for (size_t i = 0; i < plan.runs.size(); ++i) {
    const SweepRun& run = plan.runs[i];
    const std::string key = token_key(run.config);
    if (!known.count(key)) known[key] = tokens_of(run.config);
    total.training += known[key].training;
    total.test += known[key].test;
    if (plan.waiting[i].empty() && read_run_state(run_folder(run.config)).finished()) ++done;
  }
  std::string text = fmt::format("{} runs", plan.runs.size());
  if (plan.tuning > 0) text += fmt::format(" ({} of them learning-rate trials)", plan.tuning);
  return text + fmt::format(", {} done\ntraining tokens about {}, test tokens about {}\n", done,
                            millions(total.training), millions(total.test));
}

}  // namespace mneme
