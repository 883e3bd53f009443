// The whole of an experiment: every option, resolved. Made from settings (key → text, see settings.h) by `resolve`.
#pragma once

#include <functional>
#include <memory>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/settings.h"
#include "base/outputs.h"
#include "mneme/model_options.h"
#include "mneme/task.h"

namespace mneme {

struct RunOptions : Options {
  int64_t seed = 1;
  std::string name = "";                // readable part of the run id; empty = model kind + task kind
  std::string folder = "results/runs";  // run folders are made below it (not hashed)
  std::string labels = "";              // "arm:mag_linear, task:needle", written by sweeps for tables (not hashed)
  std::string plugins = "";             // files of plug-ins, separated by commas; those in use are filled in (not hashed: code version)
  void describe(OptionVisitor& visitor) override;
};

struct TrainOptions : Options {
  int64_t steps = 500;
  int64_t batch = 16;                   // rows per step
  int64_t batch_tokens = 0;             // > 0: rows = max(1, batch_tokens / length) instead
  int64_t accumulate = 1;               // micro-batches per step
  double lr = 3e-3;
  double lr_min = 0;                    // where the cosine ends, as a share of lr
  int64_t warmup = 50;
  std::string schedule = "cosine";      // cosine, constant
  double penalty_from = 0;              // share of the steps before which the model's penalties (memory.write_penalty) count nothing
  double penalty_full = 0;              // share of the steps from which they count in full; between the two they rise linearly
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.98;
  int64_t segment = 0;                  // > 0: truncated backpropagation over segments of so many tokens
  double clip = 1;                      // largest gradient norm; 0 = off
  double stop_accuracy = 0;             // > 0: stop once the last evaluation reaches it (never in comparisons)
  int64_t log_every = 10;
  int64_t checkpoint_every = 100;       // steps
  int64_t keep = 1;                     // checkpoints kept beside the best one
  std::string init_from = "";           // weights to start from (not hashed: init_sha256 is)
  std::string init_sha256 = "";         // their digest; resolve() fills it in
  void describe(OptionVisitor& visitor) override;
  void check(const std::string& prefix, Problems& problems) const override;
};

struct EvalOptions : Options {
  std::vector<int64_t> lengths;         // empty = task.length
  int64_t samples = 256;                // rows per setting
  int64_t tokens = 0;                   // > 0: rows per setting = clamp(tokens / length, 16, samples)
  int64_t every = 0;                    // steps between evaluations on the validation split; 0 = only at the end
  int64_t segment = 1024;               // tokens per call; longer rows are read with carried state
  int64_t batch_tokens = 16384;         // tokens held at once
  int64_t seed = 1000;                  // test rows; the same for every arm
  bool per_seed = false;                // rows drawn anew for every run.seed
  int64_t reset = 0;                    // > 0: a test row starts anew every so many tokens
  void describe(OptionVisitor& visitor) override;
};

struct RuntimeOptions : Options {
  int64_t threads = 0;                  // 0 = all cores
  std::string device = "cpu";
  std::string dtype = "float32";        // float32, float64
  void describe(OptionVisitor& visitor) override;
};

struct Config {
  RunOptions run;
  ModelOptions model;
  MemoryOptions memory;
  TaskOptions task;
  std::shared_ptr<Options> task_options;  // section task.<kind>, type known to the task plug-in
  TrainOptions train;
  EvalOptions eval;
  RuntimeOptions runtime;
};

/// What this layer knows of a block or a memory, whose registries it cannot see.
struct KnownPlugin {
  std::string name;
  std::function<std::shared_ptr<Options>()> options = {};  ///< section model.<name> or memory.<name>; empty = none
  /// Rules between its options and those of sections model and memory; empty = none.
  std::function<void(const ModelOptions&, const MemoryOptions&, Problems&)> check = {};
  /// Of a block: memory.kernel = … that none of its memories can ever run; empty = nothing is known against it.
  std::function<void(const ModelOptions&, const MemoryOptions&, const RuntimeOptions&, Problems&)> check_kernel = {};
  bool has_memory = true;                                  ///< of a block
  std::vector<std::string> at_test_time = {};              ///< own options that change no parameter: an evaluation may set them
  FormerDefaults former = {};                              ///< of its own options
};

/// How files of plug-ins come into the program: `load` takes a path (once is enough), `file_of` says which loaded file has a kind
/// ("memory.my_rule"; "" = it is built in). Until it is called, run.plugins is an error.
void set_plugin_loader(std::function<void(const std::string&)> load, std::function<std::string(const std::string&)> file_of);

/// What model.kind and memory.kind may be. The program calls it once at its start; until then any name passes.
void set_known_plugins(std::vector<KnownPlugin> blocks, std::vector<KnownPlugin> memories);

/// Whether the files that options name have to be there. A stored config of a finished run may outlive its data.
enum class DataFiles { must_exist, may_be_missing };

/// Settings → Config: unknown keys (with the nearest known), types, ranges, rules between options. Throws ConfigError
/// with *all* problems, one a line: `configs/x.ini:7: model.heads = 3: what is wrong; allowed: …; did you mean 'x'?`
Config resolve(const Settings& settings, DataFiles files = DataFiles::must_exist);

/// The same without the throw, for sweeps, which gather the problems of many configs.
struct Resolution {
  Config config;
  std::vector<std::string> problems;  // one line each; empty: the config is good
};
Resolution try_resolve(const Settings& settings, DataFiles files);

/// The settings of a stored config as the version that wrote it meant them: options it lacks get their former defaults.
void fill_in_former_defaults(Settings& stored, const std::string& origin);

/// The config that a person names: `path` is a config file or a run folder (then its config.ini); overrides are `section.key=value`.
Config read_config(const std::string& path, const std::vector<std::string>& overrides);

/// Canonical text: every section and key in fixed order, values as resolved; only the chosen task's section. Reading it
/// back gives the same Config and the same text.
std::string canonical_ini(const Config& config);

/// First 64 bits of SHA-256, 16 hex digits, of what can change a result: Hashed::yes values that are not the default, so that a new
/// option changes no stored run, and data files by content digest. Sections of kinds that are not chosen do not count. `without` leaves keys out (e.g. "run.seed": the same for all seeds).
std::string config_hash(const Config& config, const std::vector<std::string>& without = {});

/// "readable-slug-1a2b3c4d": run.name (or model and task kind), then 8 hex digits of the hash.
std::string run_id(const Config& config);

/// The run folder of a config: run.folder / run id.
std::string run_folder(const Config& config);

/// Flat key → value text of a resolved config, in canonical order ("model.width" → "64"); for tables and metadata.
std::vector<std::pair<std::string, std::string>> flat_values(const Config& config);

/// The files and folders that options name, each under its key.
std::vector<NamedPath> data_files(const Config& config);
/// Their SHA-256 by path, of those that are there.
std::map<std::string, std::string> data_digests(const Config& config);

/// One option as `mneme options` prints it.
struct OptionHelp {
  std::string key, type, default_value, range, help;
};
/// Every option whose key starts with `prefix`, all tasks' sections included.
std::vector<OptionHelp> option_help(const std::string& prefix = "");

}  // namespace mneme
