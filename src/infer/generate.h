// Text, or tokens, written by a trained model: the library part of `mneme generate`.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "mneme/model.h"
#include "mneme/random.h"

namespace mneme {

struct GenerateOptions {
  int64_t tokens = 0;        ///< how many to write
  double temperature = 1;    ///< 0 = always the most likely
  int64_t top_k = 0;         ///< draw from the k most likely only; 0 = all
  uint64_t seed = 1;
  int64_t segment = 1024;    ///< tokens of the prompt read per call
  std::function<void(int64_t token)> written;  ///< called for each token; may throw to stop
};

/// One token drawn from softmax(logits / temperature); logits [V]. The same on every platform.
int64_t draw_token(const at::Tensor& logits, const GenerateOptions& options, Random& random);

/// Reads the prompt, then writes token by token. The state moves on by the prompt and what was written but its last token; a
/// call that begins with that token continues. UsageError: an empty prompt; DataError: a token outside the vocabulary. DivergedError: the
/// logits are not finite, so that there is no next token; says from which token on, and where.
std::vector<int64_t> generate(SequenceModel& model, State& state, const std::vector<int64_t>& prompt, const GenerateOptions& options);

}  // namespace mneme
