// Tasks made as the program makes them: config text → options → task.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "mneme/task.h"
#include "tests/support/temporary_folder.h"

namespace mneme::test {

struct MadeTask {
  Config config;
  std::unique_ptr<Task> task;
  const Task* operator->() const { return task.get(); }
};

/// `lines`: "task.kind = mqar; task.mqar.vocab = 64".
MadeTask make_task(const std::string& lines);

/// Needles of the form they had when only single ones were made.
inline const std::string kLongSentence =
    "; task.needle.sentence = The code of {name} is {value}.; task.needle.digits = 5; task.needle.name_letters = 3";
inline const std::string kSingleNeedle = "; task.needle.variant = single" + kLongSentence;

/// The message of the Error that `make_task(lines)` throws, "" for none.
std::string error_of(const std::string& lines);

void write_file(const std::string& path, const std::string& bytes);

/// Text of about `words` made-up words in lines, different for each seed.
std::string prose(int64_t words, uint64_t seed);

/// A small config of every built-in task, the files they need are in `folder`; or of the tasks of a plug-in (tests/property/subjects.h).
std::vector<std::string> every_task(const TemporaryFolder& folder);

/// Bytes of a row as text.
std::string text_of(const std::vector<int64_t>& tokens);

/// Share of scored positions (or of rows, for exact match) that `answer(row)`, one token per scored position in order,
/// gets right in `rows` test rows.
template <class Answer>
double score(const Task& task, const Setting& setting, uint64_t rows, Answer answer) {
  int64_t right = 0, scored = 0, exact = 0;
  for (uint64_t index = 0; index < rows; ++index) {
    const Sample row = task.sample(Split::test, 7, index, setting);
    const std::vector<int64_t> answers = answer(row);
    size_t next = 0;
    bool all = true;
    for (const int64_t target : row.targets) {
      if (target < 0) continue;
      const bool hit = answers.at(next++) == target;
      right += hit;
      ++scored;
      all = all && hit;
    }
    exact += all;
  }
  return task.metric() == Metric::exact_match ? static_cast<double>(exact) / static_cast<double>(rows)
                                              : static_cast<double>(right) / static_cast<double>(scored);
}

}  // namespace mneme::test
