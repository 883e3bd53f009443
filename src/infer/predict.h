// A model's answers on a user's own rows: the library part of `mneme predict`. Formats: docs/file-formats.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace mneme {

struct PredictOptions {
  std::string checkpoint;  ///< run folder, checkpoint folder or step folder
  std::string input;       ///< HDF5 with `tokens` int64 [N,T]; for a model of vectors `inputs`, real [N,T,·]
  std::string output;      ///< HDF5: `argmax` int64 [N,last], `logits` float32 [N,last,V]; of vectors `outputs` float32 [N,last,·]
  int64_t last = 0;        ///< only the last positions of each row; 0 = all
  bool logits = false;
  std::string memory;       ///< memories to start from (train/state_file.h), of one row or of every row; "" = none
  std::string save_memory;  ///< where to write the memories at the ends of the rows; "" = nowhere
  std::function<void(int64_t, int64_t)> progress;  ///< rows done, rows in all; may throw to stop
};

struct PredictSummary {
  int64_t rows = 0, length = 0, positions = 0, step = 0;
  double seconds = 0;
  int64_t not_finite = 0;        ///< answers that are none: `argmax` is −1 there; no memories are written then
  std::string where_not_finite;  ///< the first of them: row, position; layer, head and token at which it begins
};

/// Rows are read in calls of eval.segment tokens with carried state, eval.batch_tokens at once, and written as they come:
/// memory does not grow with N or T (with save_memory: with N). Outputs are renamed into place at the end. Needs
/// set_up_runtime().
/// DataError: no `tokens` or `inputs`, another shape or type, a token outside the vocabulary, a number that is not finite (row and column
/// named). UsageError: logits of a model of vectors.
PredictSummary predict(const PredictOptions& options);

}  // namespace mneme
