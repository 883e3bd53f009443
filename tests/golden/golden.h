// Numbers of independent public implementations: tensors {"shape": […], "data": […]}, row-major, in tests/golden/*.json.
#pragma once

#include "tests/support/tensors.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace mneme::test {

inline nlohmann::json golden(const std::string& file) {
  std::ifstream in(std::string(MNEME_SOURCE_DIR) + "/tests/golden/" + file);
  return nlohmann::json::parse(in);
}

inline at::Tensor golden_tensor(const nlohmann::json& json) {
  const auto data = json.at("data").get<std::vector<double>>();
  return at::tensor(data, at::kDouble).view(json.at("shape").get<std::vector<int64_t>>());
}

}  // namespace mneme::test
