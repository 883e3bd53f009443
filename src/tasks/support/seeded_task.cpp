#include "tasks/support/seeded_task.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/assert.h"
#include "mneme/errors.h"

namespace mneme {

const char* to_string(Split split) {
  switch (split) {
    case Split::train: return "train";
    case Split::validation: return "validation";
    case Split::test: return "test";
  }
  return "";
}

Random row_random(std::string_view task, Split split, uint64_t seed, uint64_t index, const Setting& setting) {
  return Random(mix_seed(seed, fmt::format("{}/{}", task, to_string(split))), setting_text(setting), index);
}

SeededTask::SeededTask(std::string name, const TaskOptions& common)
    : name_(std::move(name)), impossible_(common.control == "impossible") {}

Sample SeededTask::sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const {
  Random random = row_random(name_, split, seed, index, setting);
  Sample row = make(random, split, setting);
  MNEME_ASSERT(row.tokens.size() == row.targets.size() || !row.inputs.empty());
  return row;
}

LengthTask::LengthTask(std::string name, const TaskContext& context, int64_t shortest, const std::string& why)
    : SeededTask(name, context.common), length_(context.common.length), test_lengths_(context.eval_lengths) {
  const auto require = [&](const char* key, int64_t length) {
    if (length < shortest)
      throw ConfigError(
          fmt::format("{} = {}: too short for task.kind = {}; at least {} ({})", key, length, name, shortest, why));
  };
  require("task.length", length_);
  for (const int64_t length : test_lengths_) require("eval.lengths", length);
  if (test_lengths_.empty()) test_lengths_.push_back(length_);
}

std::vector<Setting> LengthTask::test_settings() const {
  std::vector<Setting> settings;
  for (const int64_t length : test_lengths_) settings.push_back({length});
  return settings;
}

int64_t LengthTask::longest() const {
  return std::max(length_, *std::max_element(test_lengths_.begin(), test_lengths_.end()));
}

Sample blank_row(int64_t length, int64_t fill) {
  return {std::vector<int64_t>(static_cast<size_t>(length), fill),
          std::vector<int64_t>(static_cast<size_t>(length), -1),
          {}};
}

}  // namespace mneme
