// The axes of a sweep file: which values there are, what each sets, which combinations are left out.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "config/sweep.h"

namespace mneme {

/// One step along an axis; a zip advances several keys at once and so carries several labels.
struct AxisValue {
  Labels labels;
  Settings settings;
};

using Axis = std::vector<AxisValue>;

/// Named axes in the order of `names` (empty: of appearance), then one axis for each grid key, then one for all zip
/// keys. What is wrong is added to `problems`, a line each.
std::vector<Axis> read_axes(const Settings& sweep, const std::vector<std::string>& names,
                            const std::string& names_origin, std::vector<std::string>& problems);

/// `axis:value axis:value; axis:value …` → rules; a combination is left out when all labels of one rule match.
std::vector<Labels> read_exclude(const SettingValue& rules, const std::vector<Axis>& axes,
                                 std::vector<std::string>& problems);

bool excluded(const Labels& combination, const std::vector<Labels>& rules);

}  // namespace mneme
