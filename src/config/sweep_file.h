// A sweep file as read, before its combinations are made.
#pragma once

#include <string>
#include <vector>

#include "config/sweep_axes.h"

namespace mneme {

struct SweepFile {
  std::string name;
  std::vector<int64_t> seeds;
  std::vector<double> lr;
  int64_t lr_seed = 0, lr_extend = 0;
  std::vector<Axis> axes;
  std::vector<Labels> exclude;
  std::vector<SweepCase> cases;
  std::vector<SweepSearch> searches;
  Settings trials;     // keys of the trials alone
  Settings base;       // keys of every run
  Settings overrides;  // of the command line, over everything else
};

/// Whether a section belongs to sweep files: sweep, axis, grid, …
bool is_sweep_section(const std::string& section);

/// Throws ConfigError with everything that is wrong with the sweep itself; its runs' settings are not looked at.
SweepFile read_sweep_file(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace mneme
