#include "config/sweep.h"

#include <fmt/format.h>

#include <algorithm>
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

// Without its config, as problems of all runs are told together.
SweepRun make_trial(const Sweep& sweep, size_t i, size_t candidate, double rate, int64_t extension) {
  SweepRun run{sweep.combination_settings[i], {}, "", sweep.combinations[i], true, i, candidate, extension};
  const std::string name = unquoted(run.settings.find("run.name")->text);
  run.settings.merge(sweep.candidates[i][candidate].settings);
  run.settings.merge(sweep.trial_settings);
  run.settings.set("run.seed", std::to_string(sweep.lr_seed), kOrigin);
  if (rate > 0) run.settings.set("train.lr", format_number(rate), kOrigin);
  run.settings.set("run.name", quoted_value(name + "-tuning"), kOrigin);
  Labels labels = run.labels;
  labels.push_back({"tuning", "lr"});
  run.settings.set("run.labels", quoted_value(label_text(labels)), kOrigin);
  return run;
}

// Combination `i` with every seed.
std::vector<SweepRun> seed_runs(const Sweep& sweep, size_t i, const Tuned& tuned) {
  SweepRun run{sweep.combination_settings[i], {}, "", sweep.combinations[i], false, i, tuned.candidate};
  run.settings.merge(sweep.candidates[i][tuned.candidate].settings);
  if (tuned.lr > 0) run.settings.set("train.lr", format_number(tuned.lr), kOrigin);
  Labels labels = run.labels;
  if (tuned.trials > 0) labels.push_back({"trials", std::to_string(tuned.trials)});
  if (tuned.at_edge) labels.push_back({"lr_edge", "true"});
  run.settings.set("run.labels", quoted_value(label_text(labels)), kOrigin);
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
    constexpr size_t kNamed = 3;
    lines.insert(lines.end(), same_.begin(), same_.begin() + static_cast<std::ptrdiff_t>(std::min(same_.size(), kNamed)));
    if (same_.size() > kNamed) lines.push_back(fmt::format("and {} more that are the same experiment", same_.size() - kNamed));
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
    sweep_.lr_extend = file_.lr_extend;
    sweep_.lr_seed = file_.lr_seed;
    sweep_.trial_settings = file_.trials;
    for (const Axis& axis : file_.axes)
      for (const auto& [name, value] : axis.front().labels) sweep_.axes.push_back(name);
  }

  Sweep expand() {
    require_possible(product(file_.axes));
    combine(0, {}, file_.base);
    if (sweep_.combinations.empty())
      throw ConfigError("sweep " + file_.name + ": sweep.exclude leaves no run; loosen it");
    const bool tunes = !file_.lr.empty() || !file_.searches.empty();
    const std::vector<double> rates = file_.lr.empty() ? std::vector<double>{0} : file_.lr;
    RunChecker checker;
    for (size_t i = 0; i < sweep_.combinations.size(); ++i) {
      for (SweepRun& run : seed_runs(sweep_, i, {0, rates.front()})) checker.check(run);
      for (size_t candidate = 0; tunes && candidate < sweep_.candidates[i].size(); ++candidate)
        for (const double rate : rates) {
          sweep_.tuning.push_back(make_trial(sweep_, i, candidate, rate, 0));
          checker.check(sweep_.tuning.back());
        }
    }
    if (const auto problems = checker.problems(); !problems.empty()) throw ConfigError(join(problems, "\n"));
    return std::move(sweep_);
  }

 private:
  // Counted before any is made: six axes of 59 values are 42 thousand million combinations.
  void require_possible(double runs) const {
    constexpr double kMost = 20000;
    if (runs > kMost)
      throw ConfigError(fmt::format("sweep {}: {:.3g} runs; at most {:.0f} are possible: leave values out, or make several sweeps", file_.name, runs, kMost));
  }

  static double product(const std::vector<Axis>& axes) {
    double count = 1;
    for (const Axis& axis : axes) count *= static_cast<double>(axis.size());
    return count;
  }

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
    for (const SweepCase& each : file_.cases)
      if (has_all(labels, each.when)) settings.merge(each.settings);
    settings.merge(file_.overrides);
    if (const SettingValue* name = settings.find("run.name"); name == nullptr || unquoted(name->text).empty()) {
      std::string text = file_.name;
      for (const auto& [axis, value] : labels) text += "-" + value;
      settings.set("run.name", quoted_value(text), kOrigin);
    }
    settings.set("run.labels", quoted_value(label_text(labels)), kOrigin);
    sweep_.combinations.push_back(labels);
    sweep_.combination_settings.push_back(std::move(settings));
    sweep_.candidates.push_back(candidates_of(labels));
    planned_ += static_cast<double>(std::max<size_t>(1, file_.seeds.size()) + sweep_.candidates.back().size() * file_.lr.size());
    require_possible(planned_);
  }

  std::vector<AxisValue> candidates_of(const Labels& labels) const {
    double count = 1;
    for (const SweepSearch& search : file_.searches)
      if (has_all(labels, search.when)) count *= product(search.axes);
    require_possible(count * static_cast<double>(std::max<size_t>(1, file_.lr.size())));
    std::vector<AxisValue> candidates(1);
    for (const SweepSearch& search : file_.searches) {
      if (!has_all(labels, search.when)) continue;
      for (const Axis& axis : search.axes) {
        std::vector<AxisValue> product;
        for (const AxisValue& candidate : candidates)
          for (const AxisValue& value : axis) {
            AxisValue& longer = product.emplace_back(candidate);
            longer.labels.insert(longer.labels.end(), value.labels.begin(), value.labels.end());
            longer.settings.merge(value.settings);
          }
        candidates = std::move(product);
      }
    }
    return candidates;
  }

  SweepFile file_;
  Sweep sweep_;
  double planned_ = 0;  // runs and trials
};

}  // namespace

std::vector<SweepRun> Sweep::runs(const std::vector<Tuned>& tuned) const {
  MNEME_ASSERT(tuning.empty() || tuned.size() == combinations.size());
  std::vector<SweepRun> result;
  for (size_t i = 0; i < combinations.size(); ++i)
    for (SweepRun& run : seed_runs(*this, i, tuning.empty() ? Tuned{} : tuned[i])) {
      run.config = resolve(run.settings);
      run.id = run_id(run.config);
      result.push_back(std::move(run));
    }
  return result;
}

SweepRun Sweep::trial(size_t combination, size_t candidate, double rate, int64_t extension) const {
  SweepRun run = make_trial(*this, combination, candidate, rate, extension);
  run.config = resolve(run.settings);
  run.id = run_id(run.config);
  return run;
}

Sweep read_sweep(const std::string& path, const std::vector<std::string>& overrides) {
  return Expander(read_sweep_file(path, overrides)).expand();
}

}  // namespace mneme
