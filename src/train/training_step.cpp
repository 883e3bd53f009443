#include "train/training_step.h"

#include <ATen/Context.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "mneme/errors.h"
#include "mneme/random.h"
#include "eval/loss.h"
#include "eval/measure.h"

namespace mneme {

double learning_rate(const TrainOptions& train, int64_t step) {
  if (step < train.warmup) return train.lr * static_cast<double>(step + 1) / static_cast<double>(train.warmup);
  if (train.schedule == "constant") return train.lr;
  const double whole = static_cast<double>(std::max<int64_t>(1, train.steps - train.warmup));
  const double done = std::min(1.0, static_cast<double>(step - train.warmup) / whole);
  const double share = train.lr_min + (1 - train.lr_min) * 0.5 * (1 + std::cos(std::numbers::pi * done));
  return train.lr * share;
}

double penalty_share(const TrainOptions& train, int64_t step) {
  const double done = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, train.steps));
  if (done < train.penalty_from) return 0;
  const double rise = train.penalty_full - train.penalty_from;
  return rise > 0 ? std::min(1.0, (done - train.penalty_from) / rise) : 1;
}

TrainingStep::TrainingStep(const Config& config, const Task& task, SequenceModel& model, AdamW& optimizer)
    : config_(config),
      task_(task),
      model_(model),
      optimizer_(optimizer),
      plan_(task, config.train, config.run.seed),
      device_(model.parameters().front().device()) {
  if (config.model.dropout > 0) {
    dropout_ = at::globalContext().defaultGenerator(device_).clone();
    dropout_->set_current_seed(mix_seed(static_cast<uint64_t>(config.run.seed), "dropout"));
  }
}

StepResult TrainingStep::run(int64_t step) {
  const StepRows rows = plan_.at(step);
  Batch batch =
      make_batch(task_, Split::train, static_cast<uint64_t>(config_.run.seed), rows.first, rows.rows, rows.setting);
  if (config_.task.loss == "all") score_every_token(batch);
  StepResult result;
  result.tokens = batch.rows() * batch.length();
  result.lr = learning_rate(config_.train, step);
  const int64_t scored = batch.targets.ge(0).sum().item<int64_t>();
  if (scored == 0) {
    result.skipped = true;
    result.loss = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  try {
    optimizer_.zero_grad();
    result.loss = accumulate_gradients(batch, scored, penalty_share(config_.train, step));
    if (!std::isfinite(result.loss)) throw DivergedError("the loss is not finite");
    result.grad_norm = optimizer_.step(result.lr);
  } catch (const DivergedError& error) {
    const std::string inside = describe_divergence(model_, batch.inputs.to(device_));
    throw DivergedError(
        fmt::format("diverged at step {} (learning rate {:.3g}): {}{}; a smaller train.lr{} or train.clip may help",
                    step + 1, result.lr, error.what(), inside.empty() ? "" : " (" + inside + ")",
                    inside.empty() ? "" : ", memory.theta_max"));
  }
  optimizer_.zero_grad();
  return result;
}

double TrainingStep::accumulate_gradients(const Batch& batch, int64_t scored, double penalty) {
  const Batch rows = batch.to(device_);
  const int64_t parts = std::min(config_.train.accumulate, batch.rows());
  double loss = 0;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = batch.rows() * part / parts, end = batch.rows() * (part + 1) / parts;
    loss += micro_batch(rows.part_of_rows(first, end - first), scored, batch.targets.numel(), penalty);
  }
  return loss;
}

double TrainingStep::micro_batch(const Batch& rows, int64_t scored, int64_t all_tokens, double penalty) {
  const int64_t length = rows.length();
  const int64_t segment = config_.train.segment > 0 ? std::min(config_.train.segment, length) : length;
  double loss_sum = 0;
  State state;
  for (int64_t first = 0; first < length; first += segment) {
    const int64_t steps = std::min(segment, length - first);
    ForwardContext context;
    context.dropout = dropout_;
    const Batch part = rows.part_of_positions(first, steps);
    const at::Tensor hidden = model_.hidden(part.inputs, state, context);
    // The state's part of the graph is cut before the backward pass, which can then free what only it would keep.
    if (first + steps < length) state.detach();
    else state = State();
    // Loss and penalties are means over the whole step, however it is cut into parts.
    const Scored positions = scored_positions(part);
    at::Tensor loss;
    if (positions.count > 0) {
      loss = mneme::loss_sum(model_, hidden, positions) / static_cast<double>(scored);
      loss_sum += loss.item<double>();
    }
    if (context.penalty.defined() && penalty > 0) {
      const double share = penalty * static_cast<double>(rows.rows() * steps) / static_cast<double>(all_tokens);
      loss = loss.defined() ? loss + context.penalty * share : context.penalty * share;
    }
    if (loss.defined() && loss.requires_grad()) loss.backward();
  }
  return loss_sum;
}

}  // namespace mneme
