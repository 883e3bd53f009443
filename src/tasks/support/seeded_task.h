// Base of the tasks that make their rows: each row has its own random stream, named by task, split, seed, setting and
// index, so that rows do not depend on each other, on the order of calls or on the platform, and splits share nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "mneme/task.h"

namespace mneme {

/// The stream of one row.
Random row_random(std::string_view task, Split split, uint64_t seed, uint64_t index, const Setting& setting);

class SeededTask : public Task {
 public:
  SeededTask(std::string name, const TaskOptions& common);

  Sample sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const final;

 protected:
  virtual Sample make(Random& random, Split split, const Setting& setting) const = 0;
  /// task.control = impossible: make rows whose answers cannot be known (leak control).
  bool impossible() const { return impossible_; }

 private:
  std::string name_;
  bool impossible_;
};

/// A task whose settings are lengths: trained at task.length, tested at eval.lengths (task.length where that is empty).
class LengthTask : public SeededTask {
 public:
  /// Throws ConfigError when a length is below `shortest`; `why` says what needs the room.
  LengthTask(std::string name, const TaskContext& context, int64_t shortest, const std::string& why);

  std::vector<Setting> train_settings() const final { return {{length_}}; }
  std::vector<Setting> test_settings() const final;
  /// The longest row, in training or tests.
  int64_t longest() const;

 private:
  int64_t length_;
  std::vector<int64_t> test_lengths_;
};

/// A row of `length` tokens `fill`, nothing scored.
Sample blank_row(int64_t length, int64_t fill);

}  // namespace mneme
