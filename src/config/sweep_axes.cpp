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

Axis grid_axis(const std::string& key, const SettingValue& value, std::vector<std::string>& problems) {
  Axis axis;
  if (value.text.empty())
    problems.push_back(fmt::format("{}: grid.{} has no values; write them as a | b | c", value.origin, key));
  for (const std::string& text : split(value.text, '|')) {
    AxisValue& step = axis.emplace_back();
    step.labels = {{key, label_text(text)}};
    step.settings.set(key, text, value.origin);
  }
  return axis;
}

Axis zip_axis(const Settings& zip, std::vector<std::string>& problems) {
  Axis axis;
  std::string first;
  for (const auto& [key, value] : zip.all()) {
    const std::vector<std::string> texts = split(value.text, '|');
    if (first.empty()) {
      first = fmt::format("{} has {} ({})", key, texts.size(), value.origin);
      axis.resize(texts.size());
    }
    if (texts.size() != axis.size()) {
      problems.push_back(
          fmt::format("{}: zip.{} has {} values, but {}; keys of [zip] advance together and need equally many",
                      value.origin, key, texts.size(), first));
      continue;
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      axis[i].labels.push_back({key, label_text(texts[i])});
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

}  // namespace

std::vector<Axis> read_axes(const Settings& sweep, const std::vector<std::string>& names,
                            const std::string& names_origin, std::vector<std::string>& problems) {
  const std::vector<std::string> found = named_axes(sweep, problems);
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
  for (const auto& [key, value] : sweep.section("grid.").all()) axes.push_back(grid_axis(key, value, problems));
  if (Axis zip = zip_axis(sweep.section("zip."), problems); !zip.empty()) axes.push_back(std::move(zip));
  return axes;
}

std::vector<Labels> read_exclude(const SettingValue& rules, const std::vector<Axis>& axes,
                                 std::vector<std::string>& problems) {
  const std::vector<std::string> names = label_names(axes);
  std::vector<Labels> result;
  for (const std::string& rule : split(rules.text, ';')) {
    Labels labels;
    for (const std::string& pair : split(rule, ' ')) {
      if (pair.empty()) continue;
      const size_t colon = pair.find(':');
      const std::string name = pair.substr(0, colon);
      const std::string value = colon == std::string::npos ? "" : pair.substr(colon + 1);
      const std::vector<std::string> values = label_values(axes, name);
      if (values.empty())
        problems.push_back(fmt::format("{}: sweep.exclude: '{}' names no axis; write axis:value{}", rules.origin, pair,
                                       did_you_mean(name, names)));
      else if (std::find(values.begin(), values.end(), value) == values.end())
        problems.push_back(fmt::format("{}: sweep.exclude: the axis {} has no value '{}'; it has {}{}", rules.origin,
                                       name, value, join(values, ", "), did_you_mean(value, values)));
      labels.push_back({name, value});
    }
    if (!labels.empty()) result.push_back(std::move(labels));
  }
  return result;
}

bool excluded(const Labels& combination, const std::vector<Labels>& rules) {
  return std::any_of(rules.begin(), rules.end(), [&](const Labels& rule) {
    return std::all_of(rule.begin(), rule.end(), [&](const auto& label) {
      return std::find(combination.begin(), combination.end(), label) != combination.end();
    });
  });
}

}  // namespace mneme
