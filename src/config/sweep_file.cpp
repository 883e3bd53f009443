#include "config/sweep_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "config/fields.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

struct SweepOptions : Options {
  std::string name, axes, lr, exclude;
  std::vector<int64_t> seeds;
  int64_t lr_seed = 100, lr_extend = 2;

  void describe(OptionVisitor& v) override {
    constexpr int64_t kMaxSeed = int64_t{1} << 40;
    v.option("name", name, Choices{}, "start of every run's name; empty = the file's name");
    v.option("axes", axes, Choices{}, "named axes, outermost first; empty = in order of appearance");
    v.option("seeds", seeds, {0, kMaxSeed}, "run.seed of the runs of a combination; empty = run.seed");
    v.option("lr", lr, Choices{}, "train.lr to choose from per combination, on validation rows; empty = train.lr");
    v.option("lr_extend", lr_extend, {0, 16}, "rates tried beyond an edge of lr at which the best one lies, by its ratio there");
    v.option("lr_seed", lr_seed, {0, kMaxSeed}, "run.seed of the learning-rate trials");
    v.option("exclude", exclude, Choices{}, "combinations left out: axis:value axis:value; axis:value …");
  }
};

bool of_sweep(const std::string& key) { return is_sweep_section(key.substr(0, key.find('.'))); }

class SweepFileReader {
 public:
  SweepFileReader(const std::string& path, const std::vector<std::string>& overrides)
      : settings_(Settings::from_file(path)) {
    Settings given;
    for (const std::string& assignment : overrides) given.override_with(assignment);
    for (const auto& [key, value] : given.all()) {
      check_section(key, value);
      (of_sweep(key) ? settings_ : file_.overrides).set(key, value.text, value.origin);
    }
    for (const auto& [key, value] : settings_.all())
      if (!of_sweep(key)) file_.base.set(key, value.text, value.origin);
    file_.name = std::filesystem::path(path).stem().string();
    if (not_utf8(file_.name) != std::string::npos)
      problems_.push_back("the sweep is called after its file, whose name is not in UTF-8, and results could not hold it; rename the file");
  }

  SweepFile read() {
    read_options();
    read_lr();
    file_.axes = read_axes(settings_, split(options_.axes, ','), origin("sweep.axes"), problems_);
    file_.cases = read_cases(settings_, file_.axes, problems_);
    file_.searches = read_searches(settings_, file_.axes, problems_);
    file_.trials = settings_.section("trials.");
    check_seeds();
    if (!options_.exclude.empty())
      file_.exclude = read_exclude(*settings_.find("sweep.exclude"), file_.axes, problems_);
    check_fixed_keys();
    check_overrides();
    if (!problems_.empty()) throw ConfigError(join(problems_, "\n"));
    return std::move(file_);
  }

 private:
  std::string origin(const std::string& key) const {
    const SettingValue* value = settings_.find(key);
    return value == nullptr ? "default" : value->origin;
  }

  void problem(const std::string& key, const std::string& message) {
    const SettingValue* value = settings_.find(key);
    problems_.push_back(origin(key) + ": " + key + (value == nullptr ? "" : " = " + value->text) + ": " + message);
  }

  void read_options() {
    std::vector<std::string> known;
    for (const Field& field : fields_of(options_, "sweep.")) {
      known.push_back(field.key);
      const SettingValue* value = settings_.find(field.key);
      const std::string wrong = value == nullptr ? "" : field.parse(value->text);
      if (!wrong.empty()) problem(field.key, wrong);
    }
    for (const auto& [name, value] : settings_.section("sweep.").all())
      if (const std::string key = "sweep." + name; std::find(known.begin(), known.end(), key) == known.end())
        problem(key, "unknown key" + did_you_mean(key, known));
    if (!options_.name.empty()) file_.name = options_.name;
    constexpr size_t kLongestName = 200;  // run folders and NAME.lr.json are called by it
    if (file_.name.find('/') != std::string::npos || file_.name.starts_with(".") || file_.name.size() > kLongestName)
      problem("sweep.name",
              fmt::format("folders are called by the sweep's name, so it has no '/', begins with no '.' and is of at most {} bytes; choose another{}",
                          kLongestName, options_.name.empty() ? " (it is that of the file)" : ""));
    file_.seeds = options_.seeds;
    file_.lr_seed = options_.lr_seed;
    file_.lr_extend = options_.lr_extend;
  }

  void read_lr() {
    for (const std::string& text : split(options_.lr, ',')) {
      const std::optional<double> lr = read_number(text);
      if (!lr || !(*lr > 0))
        problem("sweep.lr", "'" + text + "' is not a learning rate; write numbers above 0, like 1e-3, 3e-3");
      else if (std::find(file_.lr.begin(), file_.lr.end(), *lr) != file_.lr.end())
        problem("sweep.lr", text + " is given twice; keep one");
      else
        file_.lr.push_back(*lr);
    }
  }

  void check_seeds() {
    if (std::set<int64_t>(file_.seeds.begin(), file_.seeds.end()).size() != file_.seeds.size())
      problem("sweep.seeds", "a seed is given twice; keep one");
    if (tunes() && std::find(file_.seeds.begin(), file_.seeds.end(), file_.lr_seed) != file_.seeds.end())
      problem("sweep.lr_seed", std::to_string(file_.lr_seed) +
                                   " is also in sweep.seeds; learning rates are chosen on a seed that no result uses");
  }

  bool tunes() const { return !file_.lr.empty() || !file_.searches.empty(); }

  // A key that the sweep itself sets in every run: losing an override silently would be worse than an error.
  void check_overrides() {
    const auto check = [&](const std::string& key, bool set, const std::string& fix) {
      const SettingValue* value = file_.overrides.find(key);
      if (set && value != nullptr)
        problems_.push_back(
            fmt::format("{}: {} = {}: the sweep sets this key; {}", value->origin, key, value->text, fix));
    };
    check("run.seed", !file_.seeds.empty(), "give sweep.seeds=… instead");
    check("train.lr", !file_.lr.empty(), "give sweep.lr=… instead, or sweep.lr= to turn the choice off");
    if (tunes())
      for (const auto& [key, value] : file_.trials.all())
        check(key, true, "in its trials; give trials." + key + "=… too, or take it out of [trials]");
    for (const char* section : {"grid.", "zip."})
      for (const auto& [key, value] : settings_.section(section).all())
        check(key, true, "give " + (section + key) + "=… instead");
    for (const SweepSearch& search : file_.searches)
      for (const Axis& axis : search.axes) {
        if (axis.empty()) continue;  // a problem already
        for (const auto& [key, value] : axis.front().settings.all()) {
          check(key, true, "it is searched: give search.…." + key + "=… instead");
          if (key == "train.lr" && !file_.lr.empty())
            problems_.push_back(value.origin + ": train.lr is searched twice, here and by sweep.lr; leave one of them out");
        }
      }
  }

  // What the sweep sets after these sections would be lost in silence.
  void check_fixed_keys() {
    const auto check = [&](const std::string& section, const Settings& settings) {
      for (const auto& [key, value] : settings.all())
        if (key == "run.seed" ? !file_.seeds.empty() || section == "trials" : key == "train.lr" && !file_.lr.empty())
          problems_.push_back(fmt::format("{}: [{}] {} = {}: the sweep sets this key in every run of it; {}", value.origin, section, key, value.text,
                                          key == "train.lr" ? "change sweep.lr" : section == "trials" ? "change sweep.lr_seed" : "change sweep.seeds"));
    };
    for (const Axis& axis : file_.axes)
      for (const AxisValue& value : axis) check("axis", value.settings);
    for (const SweepCase& each : file_.cases) check("case", each.settings);
    check("trials", file_.trials);
    for (const SweepCase& each : file_.cases)
      for (const SweepSearch& search : file_.searches)
        for (const Axis& axis : has_all(each.when, search.when) || has_all(search.when, each.when) ? search.axes : std::vector<Axis>())
          for (const auto& [key, value] : axis.empty() ? Settings().all() : axis.front().settings.all())
            if (const SettingValue* set = each.settings.find(key))
              problems_.push_back(fmt::format("{}: [case] {} = {}: it is searched there ({}); leave one of them out", set->origin, key, set->text,
                                              value.origin));
  }

  // On the command line a key of a section that the file does not have would reach no run.
  void check_section(const std::string& key, const SettingValue& value) {
    const std::string root = key.substr(0, key.find('.'));
    if (root != "axis" && root != "case" && root != "search") return;
    std::vector<std::string> names;
    for (const std::string& name : settings_.section_names())
      if (name.starts_with(root + ".")) names.push_back(name);
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return key.starts_with(name + "."); }))
      problems_.push_back(fmt::format("{}: {} = {}: the sweep has no such section; it has {}{}", value.origin, key, value.text,
                                      names.empty() ? "none of [" + root + ".…]" : "[" + join(names, "], [") + "]", did_you_mean(key, names)));
  }

  Settings settings_;
  SweepOptions options_;
  SweepFile file_;
  std::vector<std::string> problems_;
};

}  // namespace

bool is_sweep_section(const std::string& section) {
  static const std::vector<std::string> kSections{"sweep", "axis", "grid", "zip", "case", "search", "trials"};
  return std::find(kSections.begin(), kSections.end(), section) != kSections.end();
}

SweepFile read_sweep_file(const std::string& path, const std::vector<std::string>& overrides) {
  return SweepFileReader(path, overrides).read();
}

}  // namespace mneme
