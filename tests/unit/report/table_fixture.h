// Tables of a few made runs, for the tests of tables and of what they compare.
#pragma once

#include <string>
#include <vector>

#include "report/table.h"
#include "tests/support/sample_run.h"

namespace mneme::test {

inline TableOptions by_length() {
  TableOptions options;
  options.columns = {"length"};
  options.costs = false;
  return options;
}

/// Two arms, three seeds; exact matches of 100 rows at lengths 256 and 1024.
inline std::vector<RunRecord> six_runs() {
  return {sample_run("mag", 1, {100, 90}), sample_run("mag", 2, {98, 94}), sample_run("mag", 3, {99, 80}),
          sample_run("rope", 1, {90, 10}), sample_run("rope", 2, {92, 20}), sample_run("rope", 3, {100, 0})};
}

/// Two arms of five seeds, enough for a claim: of 100 rows, about 99 and 94, 88 and 10 right.
inline std::vector<RunRecord> ten_runs() {
  const std::vector<std::vector<int64_t>> mag{{100, 90}, {98, 94}, {99, 80}, {99, 88}, {99, 88}}, rope{{90, 10}, {92, 20}, {100, 0}, {94, 10}, {94, 10}};
  std::vector<RunRecord> runs;
  for (size_t i = 0; i < mag.size(); ++i) runs.push_back(sample_run("mag", static_cast<int64_t>(i) + 1, mag[i]));
  for (size_t i = 0; i < rope.size(); ++i) runs.push_back(sample_run("rope", static_cast<int64_t>(i) + 1, rope[i]));
  return runs;
}

inline void set_value(RunRecord& run, const std::string& key, const std::string& value) {
  for (auto& [name, text] : run.info.values)
    if (name == key) {
      text = value;
      return;
    }
  run.info.values.emplace_back(key, value);
}

}  // namespace mneme::test
