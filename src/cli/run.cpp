// mneme run: trains and evaluates one config.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "cli/program.h"
#include "cli/result_text.h"
#include "cli/text_table.h"
#include "base/signals.h"
#include "mneme/errors.h"
#include "train/trainer.h"

namespace mneme {
namespace {

void print_result(const TrainerResult& result) {
  fmt::print("{}\n", result.folder);
  for (const Evaluation& evaluation : result.evaluations)
    if (evaluation.split == to_string(Split::test)) fmt::print("\n{}", evaluation_text(evaluation));
  const RunCost& cost = result.cost;
  fmt::print("\n{} parameters · {} state bytes · {} training tokens · {} tokens/s · {:.0f} s · peak {:.0f} MiB\n",
             with_separators(cost.parameters), with_separators(cost.state_bytes), with_separators(cost.training_tokens),
             with_separators(static_cast<int64_t>(cost.tokens_per_s)), cost.wall_seconds, cost.peak_mib);
}

/// A run folder is gone on with, so what its config.ini says must still be its run: what was edited, damaged, moved or made of other data
/// would be another run, begun in silence.
void require_same_run(const std::string& given, const Config& config, const std::vector<std::string>& overrides) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::canonical(given);
  const Config own = read_config(given, {});
  if (run_id(own) != folder.filename())
    throw StoreError(fmt::format("{}: its config.ini is now that of another run, {}: it was edited or damaged, data or weights that it names "
                                 "have changed, or the folder was renamed. Put that back; to train another run, give a copy of config.ini from "
                                 "elsewhere",
                                 given, run_id(own)));
  const auto places = [](const std::string& text) { return trim(text.substr(0, text.find('='))) == "run.folder"; };
  const bool placed = std::any_of(overrides.begin(), overrides.end(), places);
  if (!placed && run_id(config) == run_id(own) && fs::weakly_canonical(config.run.folder) != folder.parent_path())
    throw StoreError(fmt::format("{}: its config.ini says run.folder = {}, but it lies in {} (seen from {}): go back there, or give "
                                 "run.folder={}",
                                 given, config.run.folder, folder.parent_path().string(), fs::current_path().string(),
                                 folder.parent_path().string()));
}

int run(const CommandLine& line) {
  const InterruptGuard guard;  // from here on a signal is exit 75
  std::vector<std::string> overrides = line.overrides();
  if (line.has("init-from")) {  // the digest is that of these weights, whatever a stored config says
    overrides.push_back("train.init_from=" + line.text("init-from"));
    overrides.push_back("train.init_sha256=");
  }
  const std::string name = line.only_name("CONFIG");
  const Config config = read_config(name, overrides);
  if (std::filesystem::is_directory(name)) require_same_run(name, config, overrides);
  throw_if_interrupted("nothing was begun; give the command again");
  Log log(line.has("quiet"));
  const TrainerResult result = train(config, {line.typed()}, log);
  if (result.already_done) log.info("already done by this code version; nothing to do");
  print_result(result);
  return 0;
}

}  // namespace

Command run_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "run";
  command.summary = "train and evaluate one config";
  command.usage = "CONFIG|RUN_FOLDER [key=value ...]";
  command.details =
      "Trains, evaluates on the validation and test splits and writes the run folder, below run.folder. A run "
      "that was interrupted or killed goes on from its last checkpoint, bitwise as if it had never stopped; a "
      "finished one says so. Prints the run folder and the test results.";
  command.example = "mneme run configs/smoke/mqar_mag.ini run.seed=2 train.steps=40";
  command.options.add_options()("init-from", po::value<std::string>()->value_name("PATH"),
                                "train.init_from: start from the weights of a checkpoint, run folder or .safetensors file");
  command.run = run;
  return command;
}

}  // namespace mneme
