#include "train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "base/assert.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

constexpr double kEpsilon = 1e-8;

}  // namespace

AdamW::AdamW(NamedTensors parameters, const std::function<bool(const std::string&)>& decays, const TrainOptions& train)
    : parameters_(std::move(parameters)), beta1_(train.beta1), beta2_(train.beta2), clip_(train.clip) {
  decayed_.weight_decay = train.weight_decay;
  for (const auto& [name, parameter] : parameters_) {
    mean_.emplace_back("exp_avg/" + name, at::zeros_like(parameter.detach()));
    square_.emplace_back("exp_avg_sq/" + name, at::zeros_like(parameter.detach()));
    Group& group = decays(name) ? decayed_ : plain_;
    group.parameters.push_back(parameter);
    group.mean.push_back(mean_.back().second);
    group.square.push_back(square_.back().second);
  }
}

void AdamW::zero_grad() {
  for (auto& [name, parameter] : parameters_) parameter.mutable_grad().reset();
}

double AdamW::gradient_norm() const {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters_)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  if (gradients.empty()) return 0;
  return at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
}

void AdamW::update(Group& group, double lr, const at::Tensor& clip) {
  std::vector<at::Tensor> parameters, gradients, mean, square;
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    if (!group.parameters[i].grad().defined()) continue;
    parameters.push_back(group.parameters[i]);
    gradients.push_back(group.parameters[i].grad());
    mean.push_back(group.mean[i]);
    square.push_back(group.square[i]);
  }
  if (parameters.empty()) return;
  const at::Tensor step = at::full({}, static_cast<double>(steps_), at::kFloat);
  const std::vector<at::Tensor> steps(parameters.size(), step);
  std::optional<at::Tensor> scale;
  if (clip.defined()) scale = clip;
  at::_fused_adamw_(parameters, gradients, mean, square, {}, steps, lr, beta1_, beta2_, group.weight_decay, kEpsilon,
                    /*amsgrad=*/false, /*maximize=*/false, scale);
}

double AdamW::step(double lr) {
  at::NoGradGuard no_grad;
  const double norm = gradient_norm();
  if (!std::isfinite(norm)) {
    for (const auto& [name, parameter] : parameters_)
      if (parameter.grad().defined() && !at::isfinite(parameter.grad()).all().item<bool>())
        throw DivergedError("the gradient of " + name + " is not finite");
    throw DivergedError("the gradient norm overflowed");
  }
  ++steps_;
  // The fused update divides gradients by the scale as it reads them: clipping costs no pass of its own.
  at::Tensor clip;
  if (clip_ > 0 && norm > clip_) clip = at::full({}, (norm + 1e-6) / clip_, at::kFloat);
  update(decayed_, lr, clip);
  update(plain_, lr, clip);
  return norm;
}

NamedTensors AdamW::state() const {
  NamedTensors state = mean_;
  state.insert(state.end(), square_.begin(), square_.end());
  state.emplace_back("steps", at::full({}, steps_, at::kLong));
  return state;
}

void AdamW::load(const TensorFile& file, const std::string& source) {
  const NamedTensors own = state();
  assign_tensors(own, file.tensors, source);
  steps_ = own.back().second.item<int64_t>();
}

}  // namespace mneme
