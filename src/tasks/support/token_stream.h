// A task as one endless stream: tokens with questions on the way, and no beginning of a row that a model could start afresh at.
// It is a pure function of the task and the options, and holds the same memory wherever it is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mneme/task.h"

namespace mneme {

struct StreamOptions {
  uint64_t seed = 0;
  std::vector<int64_t> distances;  ///< tokens from what is asked to its question, each equally often; empty = the stream's own
  int64_t spacing = 0;             ///< tokens before something else is there to be asked for, on average; 0 = the stream's own
};

class TokenStream {
 public:
  virtual ~TokenStream() = default;
  /// The next piece, at least one token. Its scored positions, if there are any, are one question, whose values on `axes` are
  /// `slice`.
  virtual Sample next() = 0;
  /// By what questions differ, e.g. {"distance"}.
  virtual std::vector<std::string> axes() const = 0;
};

/// A task with a stream of its own kind, beside its rows.
class StreamingTask {
 public:
  virtual ~StreamingTask() = default;
  /// Reads from the task, which must outlive it. `options` are filled in.
  virtual std::unique_ptr<TokenStream> stream(const StreamOptions& options) const = 0;
};

/// The task's own stream; of any other task its test rows, end to end, all test settings equally often. `task` must outlive it.
/// UsageError: distances or spacing for a task that has only rows; a task of vectors.
std::unique_ptr<TokenStream> make_stream(const Task& task, const StreamOptions& options);

}  // namespace mneme
