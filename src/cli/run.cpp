// mneme run: trains and evaluates one config.
#include <fmt/format.h>

#include <filesystem>

#include "base/log.h"
#include "base/text.h"
#include "config/config.h"
#include "cli/program.h"
#include "cli/result_text.h"
#include "cli/run_state.h"
#include "cli/text_table.h"
#include "base/signals.h"
#include "eval/checkpoint.h"
#include "mneme/errors.h"
#include "train/trainer.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

void print_result(const TrainerResult& result) {
  fmt::print("{}\n", result.folder);
  for (const Evaluation& evaluation : result.evaluations)
    if (evaluation.split == to_string(Split::test)) fmt::print("\n{}", evaluation_text(evaluation));
  const RunCost& cost = result.cost;
  fmt::print("\n{} parameters · {} state bytes · {} training tokens · {} tokens/s · {:.0f} s · peak {:.0f} MiB\n",
             with_separators(cost.parameters), with_separators(cost.state_bytes), with_separators(cost.training_tokens),
             with_separators(static_cast<int64_t>(cost.tokens_per_s)), cost.wall_seconds, cost.peak_mib);
}

/// The run folder that is named, itself or by its config.ini; "" = a config is.
std::string named_run(const std::string& name) {
  const fs::path path(name);
  const bool by_config = !fs::is_directory(path) && path.filename() == "config.ini";
  if (!by_config && !fs::is_directory(path)) return "";
  const fs::path folder = !by_config ? path : path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (const char* file : {"run.h5", "checkpoint", "lock", "output.txt"})
    if (fs::exists(folder / file)) return folder.string();
  return "";
}

/// A run folder's config describes the run in it, unless the folder was moved, or the config or the data it reads have changed: then it is
/// another run, and to train that one would not be what was asked for. `config`: with what the command line changes, as it may for a run anew;
/// without that it is read again, from `name`, only where it is another run's.
void refuse_other_run(const std::string& name, const std::string& folder, const Config& config) {
  const auto whole = [](const std::string& path) { return fs::weakly_canonical(fs::absolute(path)); };
  const fs::path place = whole(folder);
  if (whole(run_folder(config)) == place) return;
  const Config stored = read_config(name, {});
  if (whole(run_folder(stored)) == place) return;
  const std::string now = run_id(stored), hash = read_run_state(folder).config_hash;
  if (place.filename() == now)
    throw ConfigError(fmt::format("{} was moved: its config.ini says run.folder = {}; give run.folder={} to go on with it where it is", folder,
                                  stored.run.folder, place.parent_path().string()));
  if (hash == config_hash(stored))
    throw ConfigError(fmt::format("{} was renamed: it is the run {}; give it that name again to go on with it", folder, now));
  std::vector<std::string> changed;
  try {
    changed = changed_data(folder, stored);
  } catch (const Error&) {  // it has no checkpoint
  }
  const std::string what = changed.empty() ? "the config or the data it reads have" : join(changed, ", ") + (changed.size() > 1 ? " have" : " has");
  throw ConfigError(fmt::format("{} holds another run than its config.ini describes now ({}): {} changed since; put back what it was to go on with "
                                "it, or name a copy of the config elsewhere to train anew",
                                folder, now, what));
}

int run(const CommandLine& line) {
  const InterruptGuard guard;  // from here on a signal is exit 75
  std::vector<std::string> overrides = line.overrides();
  if (line.has("init-from")) {  // the digest is that of these weights, whatever a stored config says
    overrides.push_back("train.init_from=" + quoted_value(line.file("init-from")));
    overrides.push_back("train.init_sha256=");
  }
  const std::string name = line.only_name("CONFIG");
  const Config config = read_config(name, overrides);
  if (const std::string folder = named_run(name); !folder.empty()) refuse_other_run(name, folder, config);
  throw_if_interrupted("nothing was begun; give the command again");
  Log log(line.has("quiet"));
  const TrainerResult result = train(config, {line.typed()}, log);
  if (result.already_done) log.info("already done by this code version; nothing to do");
  print_result(result);
  if (!result.not_finite.empty()) throw DivergedError(result.folder + ": " + result.not_finite);
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
