// A model that reads one endless stream and answers questions on the way: the library part of `mneme stream`.
//
// One row, carried state, no reset: what a model holds of the stream is its state alone, and what this holds of the results are
// sums by stretch of the stream (`StreamBin`), so that neither grows with the tokens read.
#pragma once

#include <cstdint>
#include <functional>

#include "results/stream_record.h"
#include "tasks/support/token_stream.h"
#include "eval/checkpoint.h"

namespace mneme {

struct StreamRequest {
  int64_t tokens = 0;   ///< to read
  int64_t segment = 1024;  ///< tokens per call of the model; changes the speed, not the answers
  std::function<void(const StreamRecord&, const StreamBin&)> progress;  ///< after each call: bins done, the one being read
};

/// Reads the first `tokens` tokens of the stream. Bins end at 4096, 8192, … 65,536 tokens and then every 65,536. An interrupt
/// (base/signals.h) ends it early, with status "interrupted" and what was read until then. Needs set_up_runtime(). Fills in all
/// of the record but `info` and what names the task. ConfigError: a model whose attention keeps every token, for a stream of
/// more than 16,384. DataError: a token outside the model's vocabulary.
StreamRecord read_stream(const LoadedModel& loaded, TokenStream& stream, const StreamRequest& request);

}  // namespace mneme
