// mneme eval: a trained model on other lengths, settings or tasks.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/outputs.h"
#include "base/text.h"
#include "cli/program.h"
#include "cli/result_text.h"
#include "cli/status_line.h"
#include "mneme/errors.h"
#include "results/run_file.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "eval/measure.h"
#include "base/signals.h"
#include "eval/make.h"
#include "train/run_info.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

Split parse_split(const std::string& name) {
  if (name == "test") return Split::test;
  if (name == "validation") return Split::validation;
  throw UsageError(fmt::format("--split {}: there are test and validation", name));
}

Evaluation measure(LoadedModel& loaded, const Task& task, Split split, bool quiet) {
  StatusLine status(quiet);
  EvalRequest request;
  request.split = split;
  request.step = loaded.step;
  request.progress = [&](const Setting& setting, int64_t done, int64_t rows) {
    throw_if_interrupted("nothing was stored; give the command again");
    status.show(fmt::format("setting {}: row {} of {}", setting_text(setting), done, rows));
  };
  const InterruptGuard guard;
  return evaluate(*loaded.model, task, loaded.config, request);
}

/// As run.h5, so that tables and pages read it; costs are those of the training, where its run file is still there.
void store(const std::string& path, const LoadedModel& loaded, const Evaluation& evaluation, const Probe& probe,
           const std::string& command_line, int64_t threads) {
  RunRecord record;
  record.info = run_info(loaded.config, command_line, threads);
  record.status = "done";
  record.error = evaluation.not_finite();
  record.evaluations = {evaluation};
  record.info.training_loss = evaluation.metric.training_loss().name();
  for (const auto& [name, entry] : probe.entries())
    record.probes.push_back({name, entry.quantity.unit, entry.quantity.help, {loaded.step}, {entry.value()}});
  const std::filesystem::path run_file = std::filesystem::path(loaded.folder) / ".." / ".." / "run.h5";
  if (std::filesystem::exists(run_file)) {
    const RunRecord trained = read_run(run_file.string());
    record.train = trained.train;
    record.cost = trained.cost;
    record.created_utc = trained.created_utc;
    record.finished_utc = trained.finished_utc;
  }
  record.cost.parameters = loaded.model->parameter_count();
  atomic_write(path, run_file_bytes(record));
  fmt::print("\nwritten: {}\n", path);
}

int eval(const CommandLine& line) {
  const Split split = parse_split(line.text_or("split", "test"));
  const std::string& path = line.only_name("CHECKPOINT or RUN_FOLDER");
  const Config config = checkpoint_config(path, line.overrides());
  check_outputs({{"--output", line.file_or("output", "")}}, data_files(config));
  const int64_t threads = set_up_runtime(config.runtime);
  LoadedModel loaded = load_model(path, config);
  const std::unique_ptr<Task> task = make_task(loaded.config);
  const auto sets_lengths = [](const std::string& assignment) { return assignment.starts_with("eval.lengths"); };
  if (const std::vector<std::string> asked = line.overrides(); std::any_of(asked.begin(), asked.end(), sets_lengths))
    if (const std::string unread = unread_lengths(loaded.config, *task); !unread.empty()) throw ConfigError(unread + "; leave it out");
  for (const std::string& file : changed_data(path, config)) fmt::print(stderr, "mneme: note: {} has changed since this model was trained\n", file);
  for (const std::string& note : task->notes()) fmt::print(stderr, "mneme: note: {}\n", note);
  if (const Objective read = task->objective(), known = loaded.model->shape().objective(); !read.fits(known))
    throw DataError(fmt::format("the task {} has {}, but the model knows {} (it is {})", loaded.config.task.kind, read.text(), known.text(),
                                loaded.folder));
  const Evaluation evaluation = measure(loaded, *task, split, line.has("quiet"));
  fmt::print("{}\n\n{}", loaded.folder, evaluation_text(evaluation));
  const Probe probe = split == Split::test ? measure_by_name(*loaded.model, *task, loaded.config) : Probe();
  fmt::print("{}", written_text(probe));
  if (line.has("output")) store(line.text("output"), loaded, evaluation, probe, line.typed(), threads);
  if (const std::string not_finite = evaluation.not_finite(); !not_finite.empty()) throw DivergedError(loaded.folder + ": " + not_finite);
  return 0;
}

}  // namespace

Command eval_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "eval";
  command.summary = "evaluate a trained model on other lengths, settings or tasks";
  command.usage = "CHECKPOINT|RUN_FOLDER [key=value ...]";
  command.details =
      "key=value changes task, eval and runtime options, and how the memory learns at test time (memory.off, refresh, gradient, …); other "
      "model and memory options belong to the weights. Long "
      "rows are read in calls of eval.segment tokens with carried state, in bounded memory.";
  command.example =
      "mneme eval results/runs/mag-mqar-1a2b3c4d task.mqar.test=512x64,2048x128 --output results/longer.h5";
  command.options.add_options()("split", po::value<std::string>()->value_name("NAME"), "test or validation (test)")(
      "output,o", po::value<std::string>()->value_name("FILE.h5"),
      "store the result; tables and pages read it as a run");
  command.run = eval;
  return command;
}

}  // namespace mneme
