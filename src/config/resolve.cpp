#include "config/config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "io/sha256.h"
#include "config/plugins.h"
#include "config/sections.h"
#include "config/sweep_file.h"
#include "base/checkpoint_path.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

// "; did you mean …" out of what lies in the folder where `path` should be.
std::string near_file(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored))
    names.push_back(entry.path().filename().string());
  if (path.starts_with("~")) return "; only a shell makes a folder of ~, and not after '=': write the whole path, or $HOME";
  std::sort(names.begin(), names.end());
  const std::string name = nearest(fs::path(path).filename().string(), names);
  return name.empty() ? "" : "; did you mean '" + (folder / name).string() + "'?";
}

std::string last_part(const std::string& key) { return key.substr(key.rfind('.') + 1); }

// The right name in the wrong section (memory.lr for train.lr, or an option that is a kind's own now) is the likelier slip.
std::string near_key(const std::string& key, const std::vector<std::string>& known) {
  std::vector<std::string> same_name;
  for (const std::string& candidate : known)
    if (last_part(candidate) == last_part(key)) same_name.push_back(candidate);
  if (same_name.empty()) return did_you_mean(key, known);
  std::vector<std::string> below;  // the kinds of the same section that have it
  for (const std::string& candidate : same_name)
    if (candidate.rfind(key.substr(0, key.find('.') + 1), 0) == 0) below.push_back(candidate);
  if (!below.empty()) return "; did you mean '" + join(below, "' or '") + "'?";
  const std::string near = nearest(key, same_name);
  return "; did you mean '" + (near.empty() ? same_name.front() : near) + "'?";
}

class Resolver {
 public:
  Resolver(const Settings& settings, DataFiles files) : settings_(settings), files_(files) {}

  Resolution run() {
    load_plugins();
    for (const Section& section : sections_of(result_.config)) read(section, true);
    read_tasks();
    read_plugins("model", known_blocks(), result_.config.model.kind, result_.config.model.own);
    read_plugins("memory", known_memories(), result_.config.memory.kind, result_.config.memory.own);
    reject_unknown();
    for (const Section& section : sections_of(result_.config))
      if (good(section.name)) check(section);
    cross_check();
    if (good("train")) name_initial_weights();
    Config& config = result_.config;
    config.run.plugins = plugin_files_of({"model." + config.model.kind, "memory." + config.memory.kind, "task." + config.task.kind});
    return std::move(result_);
  }

 private:
  // First of all: what they register is what keys and kinds may be.
  void load_plugins() {
    const SettingValue* named = settings_.find("run.plugins");
    if (!named) return;
    for (const std::string& why : load_plugin_files(unquoted(named->text))) problem("run.plugins", why);
  }

  bool good(const std::string& section) const { return bad_sections_.count(section) == 0; }

  void problem(const std::string& key, const std::string& message) {
    const auto value = values_.find(key);
    const SettingValue* setting = settings_.find(key);
    const std::string text = setting != nullptr ? setting->text : value != values_.end() ? value->second : "";
    const std::string origin = setting != nullptr ? setting->origin : "default";
    result_.problems.push_back(origin + ": " + key + " = " + text + ": " + message);
  }

  void read(const Section& section, bool chosen) {
    for (Field& field : fields_of(*section.options, section.name + ".")) {
      known_.push_back(field.key);
      std::string wrong;
      if (const SettingValue* setting = settings_.find(field.key)) wrong = field.parse(setting->text);
      values_[field.key] = field.text();
      if (field.files != nullptr && chosen) note_files(field);
      if (wrong.empty()) continue;
      problem(field.key, wrong);
      bad_sections_.insert(section.name);
    }
  }

  void note_files(const Field& field) {
    std::vector<std::string>& missing = missing_files_[field.key];
    std::error_code ignored;
    for (const std::string& path : *field.files)
      if (!fs::exists(path, ignored)) missing.push_back(path);
  }

  // The chosen task's options become part of the config. Those of other tasks may stand in a shared file, but a mistake
  // in them is a mistake all the same.
  void read_tasks() {
    for (const TaskPlugin& plugin : TaskRegistry::instance().all()) {
      const bool chosen = good("task") && plugin.name == result_.config.task.kind;
      const std::shared_ptr<Options> options = plugin.options();
      read({"task." + plugin.name, options.get()}, chosen);
      if (chosen) result_.config.task_options = options;
    }
    if (TaskRegistry::instance().all().empty()) problem("task.kind", "no task is registered in this program");
  }

  void read_plugins(const std::string& section, const std::vector<KnownPlugin>& plugins, const std::string& kind, std::shared_ptr<Options>& own) {
    for (const KnownPlugin& plugin : plugins) {
      if (!plugin.options) continue;
      const bool chosen = good(section) && plugin.name == kind;
      const std::shared_ptr<Options> options = plugin.options();
      read({section + "." + plugin.name, options.get()}, chosen);
      if (chosen) own = options;
    }
  }

  void reject_unknown() {
    const std::set<std::string> known(known_.begin(), known_.end());
    constexpr int kExplained = 20;  // what was meant by each takes a look at every key there is
    int unknown = 0;
    bool sweep_file = false;
    for (const auto& [key, value] : settings_.all()) {
      if (known.count(key) != 0) continue;
      const std::string section = key.substr(0, key.find('.'));
      if (!is_sweep_section(section))
        problem(key, "unknown key" + (++unknown > kExplained ? std::string() : near_key(key, known_)));
      else if (!std::exchange(sweep_file, true))  // said once, not of each of its keys
        problem(key, "this is a sweep file; start it with `mneme sweep`");
    }
  }

  // A task may say of its files more than that they are missing; where it says nothing, that is said here.
  void check(const Section& section) {
    Problems problems;
    section.options->check(section.name + ".", problems);
    std::set<std::string> reported;
    for (const auto& [key, message] : problems.list()) {
      reported.insert(key);
      const auto missing = missing_files_.find(key);
      if (missing == missing_files_.end())
        problem(key, message);
      else if (files_ == DataFiles::must_exist)
        problem(key, message + (missing->second.empty() ? "" : near_file(missing->second.front())));
    }
    if (section.options != result_.config.task_options.get() || files_ == DataFiles::may_be_missing) return;
    for (const auto& [key, missing] : missing_files_)
      for (const std::string& path : missing)
        if (reported.count(key) == 0) problem(key, "'" + path + "' does not exist" + near_file(path));
  }

  // What a run starts from is part of which run it is. A stored config has the digest: the weights themselves may be gone.
  void name_initial_weights() {
    TrainOptions& train = result_.config.train;
    if (train.init_from.empty() || !train.init_sha256.empty()) return;
    try {
      train.init_sha256 = path_digest(weights_file(train.init_from));
    } catch (const Error& error) {
      problem("train.init_from", error.what());
    }
  }

  // Rules between sections.
  void cross_check() {
    const Config& config = result_.config;
    const KnownPlugin* block = known_plugin(known_blocks(), config.model.kind);
    const KnownPlugin* memory = known_plugin(known_memories(), config.memory.kind);
    if (good("model") && good("memory") && good("model." + config.model.kind) && good("memory." + config.memory.kind)) {
      if (!block || block->has_memory) check_memory(config.model, config.memory);
      Problems problems;
      problems.stored = settings_.stored;
      if (block && block->check) block->check(config.model, config.memory, problems);
      if (memory && memory->check && (!block || block->has_memory)) memory->check(config.model, config.memory, problems);
      const bool possible = result_.problems.empty() && problems.empty();  // else there is no such model
      if (possible && block && block->has_memory && block->check_kernel) block->check_kernel(config.model, config.memory, config.runtime, problems);
      for (const auto& [key, message] : problems.list()) problem(key, message);
    }
    if (good("train") && good("memory") && config.train.penalty_full > 0 && !settings_.stored &&
        ((block && !block->has_memory) || config.memory.write_penalty == 0))
      problem("train.penalty_full", "delays memory.write_penalty, and there is none; leave it out, and train.penalty_from");
    if (const std::string& folder = config.run.folder; good("run") && !settings_.stored) {
      if (folder.empty()) problem("run.folder", "is empty, as from a variable that is not set; name a folder, or . for this one");
      if (folder == "~" || folder.starts_with("~/")) problem("run.folder", "only a shell makes a folder of ~, and not after '='; write the whole path, or $HOME");
    }
    if (good("train") && good("eval") && config.train.stop_accuracy > 0 && config.eval.every == 0)
      problem("train.stop_accuracy", "needs validations on the way; set eval.every to a number of steps");
  }

  void check_memory(const ModelOptions& model, const MemoryOptions& memory) {
    if (memory.head_width == 0 && model.width % memory.heads != 0)
      problem("memory.heads", "does not divide model.width = " + std::to_string(model.width) +
                                  "; choose a divisor, or set memory.head_width");
    if (memory.cache > 0 && memory.inner_loss == "dot")
      problem("memory.cache", "keeps the pairs of the largest error, and memory.inner_loss = dot has none; set memory.inner_loss = l2, or leave it out");
    if (memory.step_cap > 0 && memory.group > 1)
      problem("memory.step_cap", "bounds a token's step by its own forgetting, which with memory.group > 1 only the group's last token knows; "
                                 "set memory.group = 1, or leave it out");
  }

  const Settings& settings_;
  DataFiles files_;
  Resolution result_;
  std::vector<std::string> known_;
  std::map<std::string, std::string> values_;                      // known key → value as far as it could be read
  std::map<std::string, std::vector<std::string>> missing_files_;  // of the chosen task's file options
  std::set<std::string> bad_sections_;
};

}  // namespace

Resolution try_resolve(const Settings& settings, DataFiles files) { return Resolver(settings, files).run(); }

Config resolve(const Settings& settings, DataFiles files) {
  Resolution resolution = try_resolve(settings, files);
  if (!resolution.problems.empty()) throw ConfigError(join(resolution.problems, "\n"));
  return std::move(resolution.config);
}

Config read_config(const std::string& path, const std::vector<std::string>& overrides) { return resolve(read_settings(path, overrides)); }

}  // namespace mneme
