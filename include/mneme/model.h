// Sequence models: embedding (of vectors: a linear map) → layers of (block, feed-forward) with residuals → norm → head.
//
// Shapes: B rows, T tokens, C model width, V vocabulary (of vectors: the width of an answer).
// One `State` goes through the whole model, so training on one segment,
// truncated training over many, prompt processing and decoding are the same call with another split.
// To add a block: a file in src/models/blocks/ that defines `register_block_<file name>`.
#pragma once

#include <ATen/core/Generator.h>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mneme/forward_context.h"
#include "mneme/memory.h"
#include "mneme/model_options.h"
#include "mneme/module.h"
#include "mneme/objective.h"
#include "mneme/registry.h"
#include "mneme/state.h"

namespace mneme {

class Block : public Module {
 public:
  /// x [B,T,C], normalised → [B,T,C]; the backbone adds the residual.
  virtual at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) = 0;
  /// The flagged rows (bool [B]) start again: what they hold becomes that of a fresh state, and their clock 0. `state` is not
  /// fresh. A block without it works wherever no document ends inside a batch of rows.
  virtual void reset(State& state, const at::Tensor& rows);
};

struct BlockContext {
  const ModelOptions& model;
  const MemoryOptions& memory;
  int64_t layer;
  at::Generator generator;  ///< for the initial parameters
};

struct BlockPlugin {
  std::string name, summary;
  std::function<std::shared_ptr<Block>(const BlockContext&)> make;
  bool attends = true;     ///< obeys model.attention in layers with a memory too; false: only in those without
  bool has_memory = true;  ///< built on a memory, so that section memory is its business
  std::function<std::shared_ptr<Options>()> options = {};  ///< section model.<name>; empty = it has none
  /// Rules between its own options (`model.own`) and those of sections model and memory; keys by full name.
  std::function<void(const ModelOptions& model, const MemoryOptions& memory, Problems& problems)> check = {};
  FormerDefaults former = {};  ///< of its own options
};

/// The state grows with every token read: full attention in some layer.
bool keeps_every_token(const ModelOptions& model);

using BlockRegistry = Registry<BlockPlugin>;

/// Sets an own option of the kind that is chosen, as `memory.<kind>.<name> = text` in a config would. ConfigError where there is none, or
/// the text is no value of it.
void set_own(MemoryOptions& options, const std::string& name, const std::string& text);
void set_own(ModelOptions& options, const std::string& name, const std::string& text);

/// Tells the layer of configs what blocks and memories there are: their names, options and rules. Registers them first.
void make_plugins_known();

/// Fills it with every block of src/models/blocks/ (once; the code is written by cmake/Layers.cmake).
void register_blocks();

/// The whole network. Parameter names are stable: they are the names in checkpoints.
class SequenceModel : public Module {
 public:
  struct Shape {
    int64_t vocab = 0;       ///< as of mneme/objective.h: 0 = rows of vectors
    int64_t max_length = 0;  ///< longest row ever read; sizes the table of learned positions
    int64_t inputs = 0, outputs = 0;
    Objective objective() const { return {vocab, inputs, outputs}; }
  };

  SequenceModel(const ModelOptions& model, const MemoryOptions& memory, const Shape& shape, uint64_t seed);
  ~SequenceModel() override;

  /// tokens int64 [B,T], or vectors [B,T,inputs] → hidden states [B,T,C], after the last norm; the state moves T tokens on.
  /// UsageError: reset or mask of the context are not bool [B,T]; vectors of another width.
  at::Tensor hidden(const at::Tensor& inputs, State& state, ForwardContext& context);
  /// hidden [...,C] → logits [...,V]; of vectors the answers themselves, [...,outputs].
  at::Tensor logits(const at::Tensor& hidden);

  /// hidden + logits, for callers that want every position.
  at::Tensor forward(const at::Tensor& inputs, State& state, ForwardContext& context);

  /// The flagged rows (bool [B]) start a new document at their next token; see ForwardContext::reset.
  void reset(State& state, const at::Tensor& rows);

  int64_t parameter_count() const;
  const Shape& shape() const { return shape_; }

  /// Parameters that get weight decay: those whose role is a projection (mneme/module.h). (name, tensor) of all parameters in stable
  /// order come from named_parameters().
  bool decays(const std::string& parameter_name) const;

 private:
  struct Layer;
  at::Tensor embedded(const at::Tensor& inputs) const;
  at::Tensor document(const at::Tensor& inputs, State& state, ForwardContext& context);
  at::Tensor add_positions(const at::Tensor& x, const State& state) const;

  Shape shape_;
  ModelOptions options_;
  at::Tensor embedding_, input_map_, positions_, head_, norm_;
  std::vector<std::shared_ptr<Layer>> layers_;
};

}  // namespace mneme
