// The axes of a sweep file: which values there are, what each sets, which combinations are left out, have keys of their own, or are tuned.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "config/sweep.h"

namespace mneme {

using Axis = std::vector<AxisValue>;

/// Named axes in the order of `names` (empty: of appearance), then one axis for each grid key, then one for all zip
/// keys. What is wrong is added to `problems`, a line each.
std::vector<Axis> read_axes(const Settings& sweep, const std::vector<std::string>& names,
                            const std::string& names_origin, std::vector<std::string>& problems);

/// `axis:value axis:value; axis:value …` → rules; a combination is left out when all labels of one rule match.
std::vector<Labels> read_exclude(const SettingValue& rules, const std::vector<Axis>& axes,
                                 std::vector<std::string>& problems);

bool has_all(const Labels& combination, const Labels& labels);
bool excluded(const Labels& combination, const std::vector<Labels>& rules);

/// [case.<axis>.<value>…]: keys of combinations that have all these values.
struct SweepCase {
  Labels when;
  Settings settings;
};

/// [search.<axis>.<value>…] and [search.….zip]: what combinations that have these values are tuned over, the product of its axes.
struct SweepSearch {
  Labels when;
  std::vector<Axis> axes;
};

std::vector<SweepCase> read_cases(const Settings& sweep, const std::vector<Axis>& axes, std::vector<std::string>& problems);
std::vector<SweepSearch> read_searches(const Settings& sweep, const std::vector<Axis>& axes, std::vector<std::string>& problems);

}  // namespace mneme
