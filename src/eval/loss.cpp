#include "eval/loss.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/nonzero.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "eval/objective.h"

namespace mneme {

namespace {

constexpr int64_t kLogitsAtOnce = int64_t{1} << 22;  // 16 MiB of fp32

class CrossEntropySum : public torch::autograd::Function<CrossEntropySum> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& logits,
                            const at::Tensor& targets) {
    const at::Tensor normaliser = at::logsumexp(logits, 1);
    context->save_for_backward({logits, targets, normaliser});
    return (normaliser - logits.gather(1, targets.unsqueeze(1)).squeeze(1)).sum();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    // softmax − one-hot, in one buffer.
    at::Tensor gradient = (saved[0] - saved[2].unsqueeze(1)).exp_();
    const at::Tensor picked = saved[1].unsqueeze(1);
    gradient.scatter_add_(1, picked, at::full(picked.sizes(), -1.0, gradient.options()));
    return {gradient.mul_(gradients[0]), at::Tensor()};
  }
};

}  // namespace

Scored scored_positions(const at::Tensor& targets) {
  Scored scored;
  const at::Tensor flat = targets.reshape({-1});
  const at::Tensor index = at::nonzero(flat.ge(0)).squeeze(1);
  scored.count = index.size(0);
  if (scored.count == flat.size(0)) {
    scored.targets = flat;
  } else {
    scored.index = index;
    scored.targets = flat.index_select(0, index);
  }
  return scored;
}

Scored scored_positions(const Batch& batch) {
  Scored scored = scored_positions(batch.targets);
  if (batch.answers.defined()) scored.answers = select_scored(batch.answers, scored);
  return scored;
}

Scored Scored::part(int64_t first, int64_t steps) const {
  return {{}, targets.narrow(0, first, steps), steps, answers.defined() ? answers.narrow(0, first, steps) : answers};
}

at::Tensor select_scored(const at::Tensor& hidden, const Scored& scored) {
  const at::Tensor flat = hidden.reshape({-1, hidden.size(-1)});
  return scored.index.defined() ? flat.index_select(0, scored.index) : flat;
}

at::Tensor cross_entropy_sum(const at::Tensor& logits, const at::Tensor& targets) {
  return CrossEntropySum::apply(logits, targets);
}

at::Tensor loss_sum(SequenceModel& model, const at::Tensor& hidden, const Scored& scored) {
  return tensors_of(model.shape().objective()).loss_sum(model.logits(select_scored(hidden, scored)), scored);
}

PositionScores score_positions(SequenceModel& model, const at::Tensor& hidden, const Scored& scored) {
  at::NoGradGuard no_grad;
  const at::Tensor selected = select_scored(hidden, scored);
  const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / model.shape().objective().width());
  PositionScores scores{at::empty({scored.count}, at::kDouble), at::empty({scored.count}, at::kBool)};
  for (int64_t first = 0; first < scored.count; first += piece) {
    const int64_t count = std::min(piece, scored.count - first);
    const PositionScores part =
        tensors_of(model.shape().objective()).scores(model.logits(selected.narrow(0, first, count)), scored.part(first, count));
    scores.loss.narrow(0, first, count).copy_(part.loss);
    scores.correct.narrow(0, first, count).copy_(part.correct);
  }
  return scores;
}

}  // namespace mneme
