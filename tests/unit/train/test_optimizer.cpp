#include <torch/serialize/input-archive.h>
#include <torch/serialize/output-archive.h>
// The two that cmake/lean/ only declares.
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <cmath>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "train/optimizer.h"

using namespace mneme;
using mneme::test::message_of;

namespace {

NamedTensors two_parameters(const at::TensorOptions& options) {
  torch::manual_seed(7);
  return {{"matrix", at::randn({13, 9}, options).set_requires_grad(true)},
          {"norm", at::randn({9}, options).set_requires_grad(true)}};
}

at::Tensor loss_of(const at::Tensor& matrix, const at::Tensor& norm, int step) {
  return ((matrix * norm).sin().sum() + (step % 3) * (matrix.pow(2).sum() - norm.sum())) * (step == 4 ? 30 : 1);
}

}  // namespace

TEST_CASE("AdamW with clipping and decay on matrices only is torch::optim::AdamW", "[train]") {
  const auto options = GENERATE(at::kDouble, at::kFloat);
  const double tolerance = options == at::kDouble ? 1e-6 : 1e-5;  // the clip factor passes through fp32
  TrainOptions train;
  train.weight_decay = 0.3;
  NamedTensors own = two_parameters(options), theirs = two_parameters(options);
  AdamW adam(own, [](const std::string& name) { return name == "matrix"; }, train);
  const auto peer_options = [&](double decay) {
    return std::make_unique<torch::optim::AdamWOptions>(
        torch::optim::AdamWOptions(1.0).betas({train.beta1, train.beta2}).weight_decay(decay));
  };
  torch::optim::AdamW peer({torch::optim::OptimizerParamGroup({theirs[0].second}, peer_options(0.3)),
                            torch::optim::OptimizerParamGroup({theirs[1].second}, peer_options(0))});
  for (int step = 0; step < 20; ++step) {
    const double lr = 0.02 / (1 + step);
    adam.zero_grad();
    loss_of(own[0].second, own[1].second, step).backward();
    const double norm = adam.step(lr);
    peer.zero_grad();
    loss_of(theirs[0].second, theirs[1].second, step).backward();
    const double peer_norm = torch::nn::utils::clip_grad_norm_({theirs[0].second, theirs[1].second}, train.clip);
    for (auto& group : peer.param_groups()) static_cast<torch::optim::AdamWOptions&>(group.options()).lr(lr);
    peer.step();
    CHECK(norm == Approx(peer_norm).epsilon(1e-5));
    for (size_t i = 0; i < own.size(); ++i)
      REQUIRE((own[i].second - theirs[i].second).abs().max().item<double>() < tolerance);
  }
}

TEST_CASE("a gradient that is not finite stops the run by name and moves nothing", "[train]") {
  NamedTensors own = two_parameters(at::kFloat);
  AdamW adam(own, [](const std::string&) { return true; }, TrainOptions());
  const at::Tensor before = own[0].second.detach().clone();
  (own[0].second.sum() + own[1].second.sum() * std::nan("")).backward();
  CHECK(message_of<DivergedError>([&] { adam.step(0.1); }) == "the gradient of norm is not finite");
  CHECK(own[0].second.equal(before));
  CHECK(adam.steps() == 0);
}

TEST_CASE("an optimizer whose state was saved and loaded goes on bitwise", "[train]") {
  test::TemporaryFolder folder;
  const std::string path = folder.path() + "/optimizer.safetensors";
  const auto train_steps = [](NamedTensors& parameters, AdamW& adam, int first, int end) {
    for (int step = first; step < end; ++step) {
      adam.zero_grad();
      loss_of(parameters[0].second, parameters[1].second, step).backward();
      adam.step(0.01);
    }
  };
  const auto all = [](const std::string&) { return true; };
  NamedTensors whole = two_parameters(at::kFloat);
  AdamW one(whole, all, TrainOptions());
  train_steps(whole, one, 0, 5);
  write_safetensors(path, one.state());
  NamedTensors resumed = two_parameters(at::kFloat);
  for (size_t i = 0; i < 2; ++i) resumed[i].second.detach().copy_(whole[i].second);
  AdamW other(resumed, all, TrainOptions());
  other.load(read_safetensors(path), path);
  CHECK(other.steps() == 5);
  train_steps(whole, one, 5, 9);
  train_steps(resumed, other, 5, 9);
  for (size_t i = 0; i < 2; ++i) CHECK(resumed[i].second.equal(whole[i].second));
}
