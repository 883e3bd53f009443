// From what a person types (a config file, a run folder, key=value) to a resolved config.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace mneme {

/// `path` is a config file or a run folder (then its config.ini); overrides are `section.key=value`.
Settings read_settings(const std::string& path, const std::vector<std::string>& overrides);
Config read_config(const std::string& path, const std::vector<std::string>& overrides);

/// The run folder of a config: run.folder / run id.
std::string run_folder(const Config& config);

}  // namespace mneme
