#include "eval/objective.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "mneme/errors.h"

namespace mneme {

namespace {

template <class T>
void copy_row(const std::vector<T>& values, at::Tensor& rows, int64_t row) {
  std::copy(values.begin(), values.end(), rows.mutable_data_ptr<T>() + row * static_cast<int64_t>(values.size()));
}

class TokenTensors : public ObjectiveTensors {
 public:
  void make(Batch& batch, const Objective&, int64_t rows, int64_t length) const override { batch.inputs = at::empty({rows, length}, at::kLong); }
  void set_row(Batch& batch, int64_t row, const Sample& sample) const override { copy_row(sample.tokens, batch.inputs, row); }
  int64_t positions(const Objective&, const Sample& sample) const override { return static_cast<int64_t>(sample.tokens.size()); }

  at::Tensor loss_sum(const at::Tensor& logits, const Scored& scored) const override { return cross_entropy_sum(logits, scored.targets); }

  PositionScores scores(const at::Tensor& logits, const Scored& scored) const override {
    const at::Tensor finite = at::isfinite(logits).all(1);  // arg max of NaN is the NaN, and its place no answer
    const at::Tensor loss = at::logsumexp(logits, 1) - logits.gather(1, scored.targets.unsqueeze(1)).squeeze(1);
    return {loss.masked_fill(finite.logical_not(), std::numeric_limits<double>::quiet_NaN()).to(at::kCPU, at::kDouble),
            logits.argmax(1).eq(scored.targets).logical_and_(finite).cpu()};
  }
};

class VectorTensors : public ObjectiveTensors {
 public:
  void make(Batch& batch, const Objective& objective, int64_t rows, int64_t length) const override {
    batch.inputs = at::empty({rows, length, objective.inputs}, at::kFloat);
    batch.answers = at::empty({rows, length, objective.outputs}, at::kFloat);
  }

  void set_row(Batch& batch, int64_t row, const Sample& sample) const override {
    copy_row(sample.inputs, batch.inputs, row);
    copy_row(sample.answers, batch.answers, row);
  }

  int64_t positions(const Objective& objective, const Sample& sample) const override {
    const auto inputs = static_cast<int64_t>(sample.inputs.size()), answers = static_cast<int64_t>(sample.answers.size());
    const int64_t count = inputs / objective.inputs;
    return inputs == count * objective.inputs && answers == count * objective.outputs ? count : -1;
  }

  at::Tensor loss_sum(const at::Tensor& outputs, const Scored& scored) const override { return squares(outputs, scored).sum(); }

  PositionScores scores(const at::Tensor& outputs, const Scored& scored) const override {
    return {squares(outputs.to(at::kDouble), scored).cpu(), at::zeros({scored.count}, at::kBool)};
  }

 private:
  static at::Tensor squares(const at::Tensor& outputs, const Scored& scored) {
    return (outputs - scored.answers.to(outputs.options())).square().mean(1);
  }
};

}  // namespace

const ObjectiveTensors& tensors_of(const Objective& objective) {
  static const TokenTensors of_tokens;
  static const VectorTensors of_vectors;
  if (objective.of_tokens()) return of_tokens;
  return of_vectors;
}

void require_tokens(const SequenceModel& model, const std::string& what) {
  const Objective objective = model.shape().objective();
  if (objective.of_tokens()) return;
  throw UsageError(fmt::format("{} is for models of tokens; this one reads {}: mneme predict reads them from a file, mneme eval measures it",
                               what, objective.text()));
}

}  // namespace mneme
