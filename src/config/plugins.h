// Names given to set_known_plugins (config.h); empty before.
#pragma once

#include <string>
#include <vector>

namespace mneme {

const std::vector<std::string>& known_blocks();
const std::vector<std::string>& known_memories();

}  // namespace mneme
