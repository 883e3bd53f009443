// What goes down one forward pass beside the tokens: documents and padding inside rows, dropout, penalties, measurements.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "mneme/probe.h"

namespace mneme {

struct ForwardContext {
  /// bool [B,T], undefined = nowhere. True: a new document starts at this token; it sees nothing of what came before in its
  /// row, and everything from here on is as if the document stood alone (positions, segments and refresh points included).
  /// The call is cut at these tokens, so rows that share their document boundaries cost least.
  at::Tensor reset;
  /// bool [B,T], undefined = all true. False: padding. The token is no step of any memory and no key of any attention, and
  /// its content leaves no trace in other outputs or in the state; its own output means nothing. Clocks count it: positions,
  /// segments and refresh points do not move together over padding.
  at::Tensor mask;
  /// bool [B,T], undefined = all true. False: the token is read like any other, but is no step of any memory: a question, say.
  at::Tensor write;
  /// Set for training with dropout; undefined = no dropout.
  std::optional<at::Generator> dropout;
  /// Sum of the blocks' penalties (memory.write_penalty), to be added to the training loss; undefined = none.
  at::Tensor penalty;
  /// Where to put measurements ("layer0/memory/theta_mean"); null = do not measure.
  Probe* probe = nullptr;
  /// Where to put each token's surprise, its inner loss at the weights its gradient is taken at (docs/vocabulary.md): "layer0" →
  /// [B,H,T·n], n = memory.keys_per_token; calls follow one another. Null = do not measure. Not for rows of different age.
  std::map<std::string, at::Tensor>* surprise = nullptr;

  /// For a pass over some tokens, or some rows (int64 [n]), of this one. No reset, no penalty yet.
  ForwardContext tokens(int64_t first, int64_t steps) const;
  ForwardContext rows(const at::Tensor& index) const;
  /// Tokens that are steps of memories: mask and write; undefined = all.
  at::Tensor steps() const;
  /// Appends the inner losses of a call to those of a layer.
  void add_surprise(int64_t layer, const at::Tensor& losses);
  /// Takes over the penalty of a pass over this share of the tokens.
  void add_penalty(const ForwardContext& part, double share);
};

}  // namespace mneme
