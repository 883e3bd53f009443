// A task makes rows with answers to score: of tokens, or of real vectors (mneme/objective.h). It knows nothing of models or tensors.
//
// Every sample is a pure function of (options, split, seed, index, setting). Train, validation and test draw from
// disjoint seed ranges (`Split` is mixed into the seed). To add a task: one file in src/tasks/ that defines
// `register_task_<file name>`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mneme/metric.h"
#include "mneme/objective.h"
#include "mneme/options.h"
#include "mneme/random.h"
#include "mneme/registry.h"

namespace mneme {

enum class Split { train, validation, test };

const char* to_string(Split split);

/// One row of T positions. `targets[t]` is what a model that has read positions 0 … t should say, −1 = not scored. Rows of tokens:
/// T tokens, and targets are tokens. Rows of vectors: no tokens, a target of 0 or more = scored, and the answer is in `answers`.
struct Sample {
  std::vector<int64_t> tokens;
  std::vector<int64_t> targets;
  /// The row's value on every axis of `Task::row_axes()`, e.g. the depth of the needle in percent.
  std::vector<int64_t> slice;
  /// The value of every position on `Task::position_axis()`, −1 = on none; empty without such an axis.
  std::vector<int64_t> places = {};
  std::vector<float> inputs = {};   ///< of vectors: [T · Objective::inputs]
  std::vector<float> answers = {};  ///< of vectors: [T · Objective::outputs]; what stands where nothing is scored does not matter
};

/// A predictor that nothing is trained for, e.g. least squares: scored on the very rows of a test, it says what a row holds.
struct Reference {
  std::string name;  ///< in files and tables: "nearest"
  /// The row up to and with a position, without targets and answers → what is said there: Objective::width() numbers.
  std::function<std::vector<double>(const Sample& past)> predict;
};

class Task {
 public:
  virtual ~Task() = default;

  /// Number of different tokens; tokens and targets lie in [0, vocab). 0: rows of vectors, `objective` says of which.
  virtual int64_t vocab() const { return 0; }
  /// What rows hold, and how answers are judged.
  virtual Objective objective() const { return Objective::tokens(vocab()); }
  /// What results are judged by.
  virtual Metric metric() const { return Metric::accuracy; }
  /// Value of the metric reached by knowing the answer format but not the row (for loss: −log chance; for error: 1).
  virtual double chance() const = 0;
  /// The same of the first `rows` test rows of a seed, where the task has a number of them.
  virtual double chance_of(uint64_t /*seed*/, uint64_t /*rows*/) const { return chance(); }

  /// What the numbers of a setting mean, e.g. {"keys", "writes"}. By default a setting is a length in tokens.
  virtual std::vector<std::string> axes() const { return {"length"}; }
  /// Settings trained on; a step draws one of them.
  virtual std::vector<Setting> train_settings() const = 0;
  /// Settings tested on, one table entry each.
  virtual std::vector<Setting> test_settings() const = 0;
  /// Positions in a row of this setting. Every row of a setting has the same length.
  virtual int64_t length(const Setting& setting) const { return setting.at(0); }

  virtual Sample sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const = 0;

  /// Further axes along which rows of one setting differ and are reported, e.g. {"depth_percent"}.
  virtual std::vector<std::string> row_axes() const { return {}; }
  /// The same of the positions of a row, e.g. "last_seen": which of them a result is of; "" = none. Stands behind the row axes.
  virtual std::string position_axis() const { return {}; }
  /// Names of the values 0, 1, … on one of these axes, as tables show them; empty = they are numbers.
  virtual std::vector<std::string> row_names(const std::string& /*axis*/, Split) const { return {}; }
  /// True: results are also reported by position in log bins (0–256, 256–1k, 1k–4k, …).
  virtual bool by_position() const { return false; }
  /// Rows the task has; 0 = endless. `index` of a finite task wraps around in training and is bounded in tests, whose first rows are a fair
  /// sample of them all: a test reads no more than eval.samples.
  virtual uint64_t rows(Split) const { return 0; }

  /// Scored beside the model on every test, on the same rows; their results are rows of the tables.
  virtual std::vector<Reference> references() const { return {}; }

  /// What is odd about its data, or was left out of it, a line each; commands that read them say so.
  virtual std::vector<std::string> notes() const { return {}; }

  /// One token as a person reads it, for `mneme show`.
  virtual std::string token_text(int64_t token) const { return std::to_string(token) + " "; }
};

/// Options common to all tasks: section `task`.
struct TaskOptions : Options {
  std::string kind = "mqar";
  int64_t length = 256;
  std::string loss = "answers";
  std::string control = "none";
  void describe(OptionVisitor& visitor) override;
};

struct TaskContext {
  const TaskOptions& common;            ///< kind, length, control
  const Options& options;               ///< of the type the plug-in's `options` made
  std::vector<int64_t> eval_lengths;    ///< eval.lengths: for tasks whose setting is a length
};

struct TaskPlugin {
  std::string name, summary;
  std::function<std::unique_ptr<Options>()> options;  ///< section `task.<name>`
  std::function<std::unique_ptr<Task>(const TaskContext&)> make;
  FormerDefaults former = {};  ///< of its own options
};

using TaskRegistry = Registry<TaskPlugin>;

/// Fills it with every task of src/tasks/ (once; the code is written by cmake/Layers.cmake).
void register_tasks();

}  // namespace mneme
