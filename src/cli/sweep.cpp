// mneme sweep: every run of a sweep file, several at a time, resumable.
#include "config/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/signals.h"
#include "base/text.h"
#include "config/config.h"
#include "cli/program.h"
#include "cli/sweep_choice.h"
#include "cli/sweep_plan.h"
#include "cli/sweep_runner.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

using Kind = SweepOutcome::Kind;

SweepOptions options_of(const CommandLine& line) {
  SweepOptions options;
  options.jobs = line.integer_or("jobs", usable_cores(), 1, 4096);
  options.threads_per_job = std::max<int64_t>(1, usable_cores() / options.jobs);
  options.retry_failed = line.has("retry-failed");
  options.keep_going = line.has("keep-going");
  options.quiet = line.has("quiet");
  return options;
}

size_t count(const std::vector<SweepOutcome>& outcomes, Kind kind) {
  return static_cast<size_t>(std::count_if(outcomes.begin(), outcomes.end(),
                                           [&](const SweepOutcome& outcome) { return outcome.kind == kind; }));
}

/// Prints what became of the runs; throws when some are still to be run: Interrupted, or Error where the first all failed alike.
void conclude(const std::vector<SweepOutcome>& outcomes, const std::string& what) {
  const auto earlier = std::count_if(outcomes.begin(), outcomes.end(),
                                     [](const SweepOutcome& o) { return o.kind == Kind::done && o.earlier; });
  std::string text = fmt::format("{}: {} of {} done ({} of them before)", what, count(outcomes, Kind::done), outcomes.size(), earlier);
  if (const size_t n = count(outcomes, Kind::failed)) text += fmt::format(", {} failed", n);
  if (const size_t n = count(outcomes, Kind::in_use)) text += fmt::format(", {} left to another process", n);
  if (const size_t n = count(outcomes, Kind::interrupted)) text += fmt::format(", {} interrupted or not started", n);
  if (const size_t n = count(outcomes, Kind::not_started)) text += fmt::format(", {} not started", n);
  text += "\n";
  for (const SweepOutcome& outcome : outcomes) {
    if (outcome.kind == Kind::failed) text += fmt::format("failed: {}: {}\n", outcome.id, outcome.error);
    if (outcome.kind == Kind::interrupted && !outcome.error.empty()) text += fmt::format("interrupted: {}: {}\n", outcome.id, outcome.error);
  }
  std::fputs(text.c_str(), stdout);  // no exception where the terminal is gone: the exit status is to say that the sweep was interrupted
  if (const size_t n = count(outcomes, Kind::not_started)) {
    const auto stopped = std::find_if(outcomes.begin(), outcomes.end(), [](const SweepOutcome& o) { return o.kind == Kind::not_started; });
    throw Error(fmt::format("{}; stopped, the other {} runs were not started; once the cause is gone, --retry-failed tries all again "
                            "(--keep-going starts the others all the same)", stopped->error, n));
  }
  if (count(outcomes, Kind::interrupted) > 0) throw Interrupted("interrupted; the same command resumes");
}

/// Throws unless all runs are done.
void require_all_done(const std::vector<SweepOutcome>& outcomes) {
  if (const size_t failed = count(outcomes, Kind::failed))
    throw Error(fmt::format("{} of {} runs failed, see the list; once the cause is gone, --retry-failed tries again",
                            failed, outcomes.size()));
  if (const size_t elsewhere = count(outcomes, Kind::in_use))
    throw Error(fmt::format("{} of {} runs are still run by other processes", elsewhere, outcomes.size()));
}

/// Runs the trials of the grid, then those beyond it where a best rate lies at an edge, and says what each combination gets.
std::vector<Choice> tune(const Sweep& sweep, const SweepOptions& options) {
  std::set<std::string> tried;
  std::vector<SweepRun> trials = sweep.tuning;
  for (int round = 0;; ++round) {
    const auto outcomes = run_all(trials, options, "tuning ");
    conclude(outcomes, round == 0 ? "learning-rate trials" : "learning-rate trials beyond the grid");
    if (count(outcomes, Kind::in_use) > 0)
      throw Error("other processes still run learning-rate trials of this sweep; launch it again when they are done");
    for (const SweepRun& run : trials) tried.insert(run.id);
    trials.clear();
    std::vector<Choice> choices = choose(sweep);
    for (const Choice& choice : choices)
      for (const Trial& trial : choice.trials)
        if (!tried.count(trial.run.id)) trials.push_back(trial.run);
    if (!trials.empty()) continue;
    fmt::print("{}stored in {}\n", describe_choice(sweep, choices), store_choice(sweep, choices));
    std::fflush(stdout);
    return choices;
  }
}

/// The runs proper. Combinations none of whose trials finished go to `hopeless` as failed; the others go on.
std::vector<SweepRun> runs_of(const Sweep& sweep, const std::vector<Choice>& choices, std::vector<SweepOutcome>& hopeless) {
  const SweepPlan plan = plan_sweep(sweep, choices);
  std::vector<SweepRun> runs;
  for (size_t i = plan.tuning; i < plan.runs.size(); ++i)
    if (plan.waiting[i].empty()) runs.push_back(plan.runs[i]);
  for (const Choice& choice : choices)
    if (!choice.tuned)
      hopeless.push_back({labels_text(choice.labels), Kind::failed,
                          choice.pending() ? "some of its trials have not ended; the same command goes on with them"
                                           : "no learning-rate trial finished (--retry-failed tries again)",
                          false});
  return runs;
}

int run_sweep(const Sweep& sweep, const SweepOptions& options) {
  const std::vector<Choice> choices = sweep.tuning.empty() ? std::vector<Choice>{} : tune(sweep, options);
  std::vector<SweepOutcome> outcomes;
  const std::vector<SweepRun> runs = runs_of(sweep, choices, outcomes);
  for (SweepOutcome& outcome : run_all(runs, options, "")) outcomes.push_back(std::move(outcome));
  conclude(outcomes, "sweep " + sweep.name);
  require_all_done(outcomes);
  return 0;
}

int run_index(const Sweep& sweep, size_t index, const SweepOptions& options) {
  const std::vector<Choice> choices = sweep.tuning.empty() ? std::vector<Choice>{} : choose(sweep);
  const SweepPlan plan = plan_sweep(sweep, choices);
  if (index >= plan.runs.size())
    throw UsageError(fmt::format("--index {}: the sweep has runs 0 to {}", index, plan.runs.size() - 1));
  const std::string& waiting = plan.waiting[index];
  if (waiting == SweepPlan::kNotNeeded) {
    fmt::print("run {}: not needed, the best learning rate lies inside those tried, or no more are asked for\n", index);
    return 0;
  }
  if (!waiting.empty())
    throw Error(fmt::format("--index {}: its learning rate is not known ({}); first its learning-rate trials, among the "
                            "indices 0 to {}, must be done; --list shows them",
                            index, waiting, plan.tuning - 1));
  if (index >= plan.tuning && plan.tuning > 0) store_choice(sweep, choices);
  const auto outcomes = run_all({plan.runs[index]}, options, "");
  conclude(outcomes, "run " + std::to_string(index));
  require_all_done(outcomes);
  return 0;
}

int sweep_main(const CommandLine& line) {
  const InterruptGuard guard;  // from here on a signal is exit 75
  const Sweep sweep = read_sweep(line.only_name("FILE"), line.overrides());
  const SweepOptions options = options_of(line);
  if (line.has("list")) {
    fmt::print("{}", list_runs(sweep, plan_sweep(sweep)));
    return 0;
  }
  if (line.has("dry-run")) {
    const SweepPlan plan = plan_sweep(sweep);
    fmt::print("sweep {}: {}", sweep.name, estimate(plan));
    fmt::print("{} at a time, threads each: {}\n", options.jobs, options.threads_per_job);
    if (const std::string crowded = crowding(plan.runs, options); !crowded.empty()) fmt::print("note: {}\n", crowded);
    return 0;
  }
  if (line.has("index")) {
    SweepOptions single = options;
    single.jobs = 1;
    single.threads_per_job = line.has("jobs") ? options.threads_per_job : usable_cores();
    return run_index(sweep, static_cast<size_t>(line.integer_or("index", 0, 0, INT64_MAX)), single);
  }
  return run_sweep(sweep, options);
}

}  // namespace

Command sweep_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "sweep";
  command.summary = "run every combination of a sweep file, several at a time";
  command.usage = "FILE [key=value ...]";
  command.details =
      "Runs are child processes, each in its run folder below run.folder. Finished runs are skipped and "
      "interrupted ones resumed, so launching again is resuming; several launches, also on other machines, may "
      "share the folder: each takes the runs that are free and waits for those that others still work on. A failing run is recorded and the others go on, but when the first 3 of a launch all fail alike and none is "
      "done, no more are started and it says so. key=value holds for every run; "
      "sweep.seeds=1,2 and sweep.lr= change the axes. Where learning rates are chosen and the best one lies at an edge, further "
      "rates are tried (sweep.lr_extend): --list shows where they may come.";
  command.example = "mneme sweep experiments/quickstart/short.ini --jobs 2";
  command.options.add_options()("jobs,j", po::value<std::string>()->value_name("N"),
                                "runs at a time; each gets cores / N threads (one per core)")(
      "list", "print index, id, state and labels of every run")("index", po::value<std::string>()->value_name("I"),
                                                                "only run number I of --list, for Slurm arrays")(
      "retry-failed", "also run what failed before")("keep-going", "start every run, also when the first ones all failed alike")(
      "dry-run", "resolve everything, print what it would cost");
  command.run = sweep_main;
  return command;
}

}  // namespace mneme
