// The sections of a config in canonical order, for code that walks over all of them.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "config/fields.h"

namespace mneme {

struct Section {
  std::string name;  // "model", "task.needle"
  Options* options;
};

/// Run, model, memory, task, each followed by that of its kind (where there are such options), train, eval, runtime.
std::vector<Section> sections_of(Config& config);

/// Fields of a section, for reading only.
std::vector<Field> fields_of(const Section& section);

/// For reading only: describing options needs them non-const, but only parsing changes them.
inline std::vector<Section> sections_of(const Config& config) { return sections_of(const_cast<Config&>(config)); }

}  // namespace mneme
