#include "config/sweep_axes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace mneme {
namespace {

constexpr const char* kAxis = "axis.";

// Labels are listed with commas and read back by tables.
std::string label_text(std::string value) {
  value.erase(std::remove(value.begin(), value.end(), ' '), value.end());
  for (char& c : value)
    if (c == ',' || c == ':') c = '+';
  return value;
}

// [axis.arm.mag] and its keys, for every value of every named axis.
std::vector<std::string> named_axes(const Settings& sweep, std::vector<std::string>& problems) {
  std::vector<std::string> names;
  for (const std::string& section : sweep.section_names()) {
    if (section.rfind(kAxis, 0) != 0) continue;
    const std::vector<std::string> parts = split(section, '.');
    if (parts.size() != 3)
      problems.push_back(fmt::format("[{}] does not name a value of an axis; write [axis.<axis>.<value>]", section));
    else if (std::find(names.begin(), names.end(), parts[1]) == names.end())
      names.push_back(parts[1]);
  }
  return names;
}

Axis named_axis(const Settings& sweep, const std::string& name) {
  const std::string prefix = kAxis + name + ".";
  Axis axis;
  for (const std::string& section : sweep.section_names())
    if (section.rfind(prefix, 0) == 0)
      axis.push_back({{{name, section.substr(prefix.size())}}, sweep.section(section + ".")});
  return axis;
}

/// Different values that tables could not tell apart: "a, b" and "a:b" are both called a+b.
void refuse_same_labels(const Axis& axis, const std::string& key, const std::string& text, const SettingValue& value, std::vector<std::string>& problems) {
  for (size_t i = 0; i + 1 < axis.size(); ++i)
    if (const std::string& other = axis[i].settings.find(key)->text; axis[i].labels == axis.back().labels && other != text)
      problems.push_back(fmt::format("{}: {}: '{}' and '{}' are both called {} in tables; write one of them otherwise", value.origin, key, other, text,
                                     axis[i].labels.front().second));
}

Axis grid_axis(const std::string& key, const SettingValue& value, const std::string& section, std::vector<std::string>& problems) {
  Axis axis;
  if (value.text.empty())
    problems.push_back(fmt::format("{}: {}.{} has no values; write them as a | b | c", value.origin, section, key));
  for (const std::string& text : split_values(value.text, '|')) {
    AxisValue& step = axis.emplace_back();
    step.labels = {{key, label_text(unquoted(text))}};
    step.settings.set(key, text, value.origin);
    refuse_same_labels(axis, key, text, value, problems);
  }
  return axis;
}

/// `section`: how messages call it, "zip".
Axis zip_axis(const Settings& zip, const std::string& section, std::vector<std::string>& problems) {
  Axis axis;
  std::string first;
  for (const auto& [key, value] : zip.all()) {
    const std::vector<std::string> texts = split_values(value.text, '|');
    if (texts.empty()) {
      problems.push_back(fmt::format("{}: {}.{} has no values; write them as a | b | c", value.origin, section, key));
      continue;
    }
    if (first.empty()) {
      first = fmt::format("{} has {} ({})", key, texts.size(), value.origin);
      axis.resize(texts.size());
    }
    if (texts.size() != axis.size()) {
      problems.push_back(
          fmt::format("{}: {}.{} has {} values, but {}; keys of [{}] advance together and need equally many",
                      value.origin, section, key, texts.size(), first, section));
      continue;
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      axis[i].labels.push_back({key, label_text(unquoted(texts[i]))});
      axis[i].settings.set(key, texts[i], value.origin);
    }
  }
  return axis;
}

std::vector<std::string> label_values(const std::vector<Axis>& axes, const std::string& name) {
  std::vector<std::string> values;
  for (const Axis& axis : axes)
    for (const AxisValue& value : axis)
      for (const auto& [label, text] : value.labels)
        if (label == name) values.push_back(text);
  return values;
}

std::vector<std::string> label_names(const std::vector<Axis>& axes) {
  std::vector<std::string> names;
  for (const Axis& axis : axes)
    if (!axis.empty())
      for (const auto& [label, text] : axis.front().labels) names.push_back(label);
  return names;
}

/// `where`: how the message begins, "x.ini:3: sweep.exclude".
void check_label(const std::string& name, const std::string& value, const std::vector<Axis>& axes, const std::string& where,
                 std::vector<std::string>& problems) {
  const std::vector<std::string> names = label_names(axes);
  const std::vector<std::string> values = label_values(axes, name);
  if (values.empty())
    problems.push_back(fmt::format("{}: '{}' names no axis; there are: {}{}", where, name, join(names, ", "), did_you_mean(name, names)));
  else if (std::find(values.begin(), values.end(), value) == values.end())
    problems.push_back(fmt::format("{}: the axis {} has no value '{}'; it has {}{}", where, name, value, join(values, ", "),
                                   did_you_mean(value, values)));
}

/// [case.task.needle.arm.mag]: the values it is for, and its keys without those of longer names.
struct LabelledSection {
  std::string name;
  Labels when;
  bool zip = false;  // [search.….zip]
  Settings settings;
};

std::vector<LabelledSection> labelled_sections(const Settings& sweep, const std::string& root, const std::vector<Axis>& axes,
                                               std::vector<std::string>& problems) {
  std::vector<LabelledSection> result;
  for (const std::string& name : sweep.section_names()) {
    if (!name.starts_with(root + ".")) continue;
    LabelledSection section{name, {}, false, {}};
    std::vector<std::string> parts = split(name, '.');
    parts.erase(parts.begin());
    section.zip = root == "search" && parts.size() % 2 == 1 && parts.back() == "zip";
    if (section.zip) parts.pop_back();
    if (parts.empty() || parts.size() % 2 == 1) {
      problems.push_back(fmt::format("[{}] does not name values of axes; write [{}.<axis>.<value>], further pairs after it", name, root));
      continue;
    }
    for (size_t i = 0; i < parts.size(); i += 2) {
      check_label(parts[i], parts[i + 1], axes, "[" + name + "]", problems);
      section.when.push_back({parts[i], parts[i + 1]});
    }
    for (const auto& [key, value] : sweep.section(name + ".").all()) {
      const bool of_longer = std::any_of(sweep.section_names().begin(), sweep.section_names().end(), [&, &key = key](const std::string& other) {
        return other.starts_with(name + ".") && (name + "." + key).starts_with(other + ".");
      });
      if (!of_longer) section.settings.set(key, value.text, value.origin);
    }
    result.push_back(std::move(section));
  }
  return result;
}

}  // namespace

std::vector<SweepCase> read_cases(const Settings& sweep, const std::vector<Axis>& axes, std::vector<std::string>& problems) {
  std::vector<SweepCase> cases;
  for (LabelledSection& section : labelled_sections(sweep, "case", axes, problems))
    cases.push_back({std::move(section.when), std::move(section.settings)});
  return cases;
}

std::vector<SweepSearch> read_searches(const Settings& sweep, const std::vector<Axis>& axes, std::vector<std::string>& problems) {
  std::vector<SweepSearch> searches;
  for (const LabelledSection& section : labelled_sections(sweep, "search", axes, problems)) {
    SweepSearch search{section.when, {}};
    if (section.zip) {
      if (Axis zip = zip_axis(section.settings, section.name, problems); !zip.empty()) search.axes.push_back(std::move(zip));
    } else {
      for (const auto& [key, value] : section.settings.all()) search.axes.push_back(grid_axis(key, value, section.name, problems));
    }
    searches.push_back(std::move(search));
  }
  return searches;
}

std::vector<Axis> read_axes(const Settings& sweep, const std::vector<std::string>& names,
                            const std::string& names_origin, std::vector<std::string>& problems) {
  const std::vector<std::string> found = named_axes(sweep, problems);
  for (const std::string& name : found)  // keys that tables have of their own
    for (const char* taken : {"seed", "run_id", "status", "code_version", "tuning", "trials", "lr_edge", "setting", "split", "tokens_per_row",
                              "metric"})
      if (name == taken) problems.push_back(fmt::format("[axis.{}.…]: tables have a key '{}' of their own; call the axis otherwise", name, name));
  for (const std::string& name : names)
    if (std::find(found.begin(), found.end(), name) == found.end())
      problems.push_back(
          fmt::format("{0}: sweep.axes: the axis '{1}' has no values; write sections [axis.{1}.<value>]{2}",
                      names_origin, name, did_you_mean(name, found)));
  for (const std::string& name : found)
    if (!names.empty() && std::find(names.begin(), names.end(), name) == names.end())
      problems.push_back(
          fmt::format("{0}: sweep.axes does not name the axis '{1}', which has sections [axis.{1}.…]; add it, "
                      "or take them out{2}",
                      names_origin, name, did_you_mean(name, names)));
  std::vector<Axis> axes;
  for (const std::string& name : names.empty() ? found : names) axes.push_back(named_axis(sweep, name));
  for (const auto& [key, value] : sweep.section("grid.").all()) axes.push_back(grid_axis(key, value, "grid", problems));
  if (Axis zip = zip_axis(sweep.section("zip."), "zip", problems); !zip.empty()) axes.push_back(std::move(zip));
  return axes;
}

std::vector<Labels> read_exclude(const SettingValue& rules, const std::vector<Axis>& axes,
                                 std::vector<std::string>& problems) {
  std::vector<Labels> result;
  for (const std::string& rule : split(unquoted(rules.text), ';')) {
    Labels labels;
    for (const std::string& pair : split(rule, ' ')) {
      if (pair.empty()) continue;
      const size_t colon = pair.find(':');
      const std::string name = pair.substr(0, colon);
      const std::string value = colon == std::string::npos ? "" : pair.substr(colon + 1);
      check_label(name, value, axes, rules.origin + ": sweep.exclude", problems);
      labels.push_back({name, value});
    }
    if (!labels.empty()) result.push_back(std::move(labels));
  }
  return result;
}

bool has_all(const Labels& combination, const Labels& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    return std::find(combination.begin(), combination.end(), label) != combination.end();
  });
}

bool excluded(const Labels& combination, const std::vector<Labels>& rules) {
  return std::any_of(rules.begin(), rules.end(), [&](const Labels& rule) { return has_all(combination, rule); });
}

}  // namespace mneme
