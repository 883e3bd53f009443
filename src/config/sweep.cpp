#include "config/sweep.h"

#include <fmt/format.h>

#include <map>

#include "config/config.h"
#include "config/sweep_file.h"
#include "base/assert.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

constexpr const char* kOrigin = "sweep";

std::string label_text(const Labels& labels) {
  std::vector<std::string> parts;
  for (const auto& [axis, value] : labels) parts.push_back(axis + ":" + value);
  return join(parts, ", ");
}

SweepRun trial(const Settings& combination, const Labels& labels, int64_t seed, double lr) {
  SweepRun run{combination, {}, "", labels, true};
  run.settings.set("run.seed", std::to_string(seed), kOrigin);
  run.settings.set("train.lr", format_number(lr), kOrigin);
  run.settings.set("run.name", combination.find("run.name")->text + "-tuning", kOrigin);
  run.settings.set("run.labels", label_text(labels) + (labels.empty() ? "" : ", ") + "tuning:lr", kOrigin);
  return run;
}

// Combination `i` with every seed, `lr` where the sweep chooses learning rates.
std::vector<SweepRun> seed_runs(const Sweep& sweep, size_t i, double lr) {
  SweepRun run{sweep.combination_settings[i], {}, "", sweep.combinations[i], false};
  if (!sweep.lr.empty()) run.settings.set("train.lr", format_number(lr), kOrigin);
  if (sweep.seeds.empty()) return {run};
  std::vector<SweepRun> runs;
  for (const int64_t seed : sweep.seeds) {
    run.settings.set("run.seed", std::to_string(seed), kOrigin);
    runs.push_back(run);
  }
  return runs;
}

// Resolves runs and gathers what is wrong: the same problem in many runs is one line that says in how many.
class RunChecker {
 public:
  void check(SweepRun& run) {
    ++runs_;
    const std::string name = label_text(run.labels);
    Resolution resolution = try_resolve(run.settings, DataFiles::must_exist);
    for (const std::string& problem : resolution.problems) {
      Where& where = found_[problem];
      if (where.runs++ > 0) continue;
      where.first = name;
      order_.push_back(problem);
    }
    if (!resolution.problems.empty()) return;
    run.config = std::move(resolution.config);
    run.id = run_id(run.config);
    const auto [twin, is_new] = hashes_.insert({config_hash(run.config), name});
    if (!is_new)
      same_.push_back(
          fmt::format("two runs are the same experiment ({}): '{}' and '{}'; let a setting differ, or leave one out",
                      run.id, twin->second, name));
  }

  std::vector<std::string> problems() const {
    std::vector<std::string> lines;
    for (const std::string& problem : order_) {
      const Where& where = found_.at(problem);
      const bool some = where.runs < runs_ && !where.first.empty();
      const std::string first = some ? ", first " + where.first : "";
      lines.push_back(runs_ == 1 ? problem : fmt::format("{} (in {} of {} runs{})", problem, where.runs, runs_, first));
    }
    lines.insert(lines.end(), same_.begin(), same_.end());
    return lines;
  }

 private:
  struct Where {
    size_t runs = 0;
    std::string first;
  };
  size_t runs_ = 0;
  std::map<std::string, Where> found_;
  std::vector<std::string> order_, same_;
  std::map<std::string, std::string> hashes_;  // config hash → combination
};

class Expander {
 public:
  explicit Expander(SweepFile file) : file_(std::move(file)) {
    sweep_.name = file_.name;
    sweep_.seeds = file_.seeds;
    sweep_.lr = file_.lr;
    for (const Axis& axis : file_.axes)
      for (const auto& [name, value] : axis.front().labels) sweep_.axes.push_back(name);
  }

  Sweep expand() {
    combine(0, {}, file_.base);
    if (sweep_.combinations.empty())
      throw ConfigError("sweep " + file_.name + ": sweep.exclude leaves no run; loosen it");
    RunChecker checker;
    for (size_t i = 0; i < sweep_.combinations.size(); ++i) {
      for (SweepRun& run : seed_runs(sweep_, i, sweep_.lr.empty() ? 0 : sweep_.lr.front())) checker.check(run);
      for (const double lr : sweep_.lr) {
        sweep_.tuning.push_back(trial(sweep_.combination_settings[i], sweep_.combinations[i], file_.lr_seed, lr));
        checker.check(sweep_.tuning.back());
      }
    }
    if (const auto problems = checker.problems(); !problems.empty()) throw ConfigError(join(problems, "\n"));
    return std::move(sweep_);
  }

 private:
  void combine(size_t axis, const Labels& labels, const Settings& settings) {
    if (axis == file_.axes.size()) return add(labels, settings);
    for (const AxisValue& value : file_.axes[axis]) {
      Labels longer = labels;
      longer.insert(longer.end(), value.labels.begin(), value.labels.end());
      Settings merged = settings;
      merged.merge(value.settings);
      combine(axis + 1, longer, merged);
    }
  }

  void add(const Labels& labels, Settings settings) {
    if (excluded(labels, file_.exclude)) return;
    settings.merge(file_.overrides);
    if (const SettingValue* name = settings.find("run.name"); name == nullptr || name->text.empty()) {
      std::string text = file_.name;
      for (const auto& [axis, value] : labels) text += "-" + value;
      settings.set("run.name", text, kOrigin);
    }
    settings.set("run.labels", label_text(labels), kOrigin);
    sweep_.combinations.push_back(labels);
    sweep_.combination_settings.push_back(std::move(settings));
  }

  SweepFile file_;
  Sweep sweep_;
};

}  // namespace

std::vector<SweepRun> Sweep::runs(const std::vector<double>& chosen_lr) const {
  MNEME_ASSERT(lr.empty() || chosen_lr.size() == combinations.size());
  std::vector<SweepRun> result;
  for (size_t i = 0; i < combinations.size(); ++i)
    for (SweepRun& run : seed_runs(*this, i, lr.empty() ? 0 : chosen_lr[i])) {
      run.config = resolve(run.settings);
      run.id = run_id(run.config);
      result.push_back(std::move(run));
    }
  return result;
}

Sweep read_sweep(const std::string& path, const std::vector<std::string>& overrides) {
  return Expander(read_sweep_file(path, overrides)).expand();
}

}  // namespace mneme
