// A model measured on settings of a task, in bounded memory: rows are made a few at a time and read in calls of
// eval.segment tokens with carried state. Full attention keeps all its keys and values; its state bytes say so.
#pragma once

#include <functional>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/task.h"
#include "results/run_record.h"

namespace mneme {

struct EvalRequest {
  Split split = Split::test;
  int64_t step = 0;  ///< recorded with the result
  /// Called after each batch of rows: setting, rows done, rows in all. May throw (an interrupt) to stop.
  std::function<void(const Setting&, int64_t, int64_t)> progress;
};

/// Test split: the task's test settings. Validation: its training settings (new rows of them), which is what learning
/// rates are chosen on. Tests score the task's references (Task::references) too. Rows depend on `rows_seed`
/// only, so that every arm answers the same questions.
Evaluation evaluate(SequenceModel& model, const Task& task, const Config& config, const EvalRequest& request);

/// A model in evaluation mode (Module::eval) as long as this lives: memory.frozen then writes nothing.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) : module_(module), was_training_(module.is_training()) { module.eval(); }
  ~EvaluationMode() { module_.train(was_training_); }
  EvaluationMode(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& module_;
  const bool was_training_;
};

/// Rows measured per setting: eval.samples, fewer for long rows where eval.tokens says so, at most what the task has.
int64_t eval_rows(const Task& task, const EvalOptions& eval, Split split, const Setting& setting);

}  // namespace mneme
