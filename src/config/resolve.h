// `resolve` without the throw, for sweeps, which gather the problems of many configs.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace mneme {

struct Resolution {
  Config config;
  std::vector<std::string> problems;  // one line each; empty: the config is good
};

Resolution try_resolve(const Settings& settings, DataFiles files);

}  // namespace mneme
