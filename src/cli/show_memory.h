// What `mneme show memory CONFIG` prints: the memory of a config, and which kernel computes which of its calls.
#pragma once

#include "cli/command_line.h"

namespace mneme {

int show_memory(const CommandLine& line);

}  // namespace mneme
