// The fields of option structs as one flat list: what every reader of `describe` here works on (parsing, canonical
// text, hash, help).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mneme/options.h"

namespace mneme {

struct Field {
  std::string key;    // "model.width"
  std::string type;   // "integer", "list of AxB", …
  std::string range;  // "1 … 4096", "full | window"
  std::string help;
  bool hashed = true;
  std::vector<std::string>* files = nullptr;  // set for input files: they count by content
  std::function<std::string()> text;          // the value, as a config file would say it
  /// Takes a text as the value; otherwise says what is wrong, what is allowed, and leaves the value alone.
  std::function<std::string(const std::string&)> parse;
};

/// Fields of `options` in order of description. They refer to `options`, which must outlive them.
std::vector<Field> fields_of(Options& options, const std::string& prefix);

/// A finite number as config files write it; nothing when `text` is something else.
std::optional<double> read_number(const std::string& text);

}  // namespace mneme
