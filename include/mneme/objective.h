// What the rows of a task hold and how its answers are judged. Two objectives:
//
//            a position holds        a model says            loss of a scored position                right
//   tokens   a token below `vocab`   `vocab` logits          negative log likelihood, nats            arg max
//   vectors  `inputs` real numbers   `outputs` real numbers  squared error, mean over the outputs     -
//
// Answers of vectors have mean 0 and variance 1 over the rows of a task, so that 1 is the loss of one who always says 0.
// The part with tensors is src/eval/objective.h.
#pragma once

#include <cstdint>
#include <string>

namespace mneme {

struct Objective {
  int64_t vocab = 0;    ///< different tokens; 0 = vectors
  int64_t inputs = 0;   ///< numbers at a position, of vectors
  int64_t outputs = 0;  ///< numbers in an answer, of vectors

  static Objective tokens(int64_t vocab) { return {vocab, 0, 0}; }
  static Objective vectors(int64_t inputs, int64_t outputs) { return {0, inputs, outputs}; }

  bool of_tokens() const { return vocab > 0; }
  /// Numbers that a model says at a position.
  int64_t width() const { return of_tokens() ? vocab : outputs; }
  /// Whether a model of the objective `model` can read rows of this one: no token that it does not know, vectors of its widths.
  bool fits(const Objective& model) const;
  /// "64 different tokens", "vectors of 9 numbers, answers of 1".
  std::string text() const;

  bool operator==(const Objective&) const = default;
};

}  // namespace mneme
