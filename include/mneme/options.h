// Options are described once. A struct lists its fields to a visitor; from that one description come the config keys,
// their parsing, ranges and errors, `mneme options`, the resolved config, its hash and the metadata in every result.
//
//   struct MyOptions : Options {
//     int64_t keys = 8;
//     void describe(OptionVisitor& v) override { v.option("keys", keys, {1, 4096}, "different keys in a row"); }
//   };
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mneme/errors.h"

namespace mneme {

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct RealRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

using Choices = std::vector<std::string>;

/// A point of a task's table, e.g. {8, 2048} for 8 keys and 2048 writes; written `8x2048` in a config.
using Setting = std::vector<int64_t>;

/// Whether a value is part of the config hash: what can change a result is, what cannot (threads, output paths, log
/// settings) is not.
enum class Hashed { yes, no };

class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  virtual void option(const char* name, int64_t& value, IntRange range, const char* help, Hashed = Hashed::yes) = 0;
  virtual void option(const char* name, double& value, RealRange range, const char* help, Hashed = Hashed::yes) = 0;
  virtual void option(const char* name, bool& value, const char* help, Hashed = Hashed::yes) = 0;
  /// One of `choices`; any text where `choices` is empty.
  virtual void option(const char* name, std::string& value, Choices choices, const char* help, Hashed = Hashed::yes) = 0;
  /// A comma-separated list of integers.
  virtual void option(const char* name, std::vector<int64_t>& value, IntRange range, const char* help,
                      Hashed = Hashed::yes) = 0;
  /// A comma-separated list of settings of `arity` numbers each: `8x16, 8x32`.
  virtual void settings(const char* name, std::vector<Setting>& value, int64_t arity, IntRange range, const char* help) = 0;
  /// A comma-separated list of input files or folders, relative to the working directory. Hashed by content.
  virtual void files(const char* name, std::vector<std::string>& value, const char* help) = 0;
};

/// Collects problems so that a user sees all of them at once.
class Problems {
 public:
  bool stored = false;  ///< of a checkpoint's config: an option that nothing reads is no problem, the model is what it is
  void add(std::string key, std::string message) { list_.push_back({std::move(key), std::move(message)}); }
  struct Problem {
    std::string key, message;
  };
  const std::vector<Problem>& list() const { return list_; }
  bool empty() const { return list_.empty(); }

 private:
  std::vector<Problem> list_;
};

struct Options {
  virtual ~Options() = default;
  virtual void describe(OptionVisitor& visitor) = 0;
  /// Rules between fields, once every value is in range. `prefix` is the section, e.g. "task.needle."
  virtual void check(const std::string& /*prefix*/, Problems& /*problems*/) const {}
};

/// (option, text) of a plug-in: what an option meant in versions whose default was another, or that did not have it. Runs by it keep their
/// identity, and a stored config without the option is read so.
using FormerDefaults = std::vector<std::pair<std::string, std::string>>;

/// A plug-in's own options as their type; the defaults where nobody made any.
template <class T>
const T& own_options(const std::shared_ptr<Options>& own) {
  static const T defaults;
  if (!own) return defaults;
  if (const T* options = dynamic_cast<const T*>(own.get())) return *options;
  throw Error("these are the options of another plug-in: make them by the `options` of the kind that is chosen");
}

}  // namespace mneme
