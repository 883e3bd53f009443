// Every block against an independent program that shares nothing with ours (tests/golden/whole_model.py: docs/maths.md token by token, in
// NumPy and fp64): checkpoints of a short training, read by both, give the same logits.
#include "tests/support/train_fixture.h"

#include <cstdlib>

#include "base/text.h"
#include "eval/checkpoint.h"
#include "tests/support/tensors.h"
#include "train/training_step.h"

using namespace mneme;
using namespace mneme::test;

namespace {

/// Trains a little, in fp64, and moves all parameters off their starting points, so that each matters. Leaves the checkpoint and our logits
/// of a row in `folder`; returns the folder of the step.
std::string checkpoint(const std::string& folder, const std::vector<std::string>& overrides) {
  const World world(tiny_config(std::vector<std::string>{"runtime.dtype=float64", "model.heads=2", "memory.heads=2", "memory.refresh=8",
                                                         "train.lr=0.03"} +
                                overrides));
  AdamW adam(
      named_tensors(*world.model), [&](const std::string& p) { return world.model->decays(p); }, world.config.train);
  TrainingStep step(world.config, *world.task, *world.model, adam);
  for (int64_t i = 0; i < 3; ++i) step.run(i);
  at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(9);
  for (auto& p : world.model->parameters()) p.add_(at::empty_like(p).normal_(0, 0.1, generator));
  TrainerState end;
  end.step = 3;
  CheckpointFolder(folder, 1).save(world.config, *world.model, {}, end);

  const LoadedModel loaded = load_model(folder);
  loaded.model->eval();
  const at::Tensor tokens = at::empty({1, 45}, at::kLong).random_(0, loaded.model->shape().vocab, generator);
  State state;
  std::vector<at::Tensor> logits;
  for (int64_t first = 0; first < tokens.size(1); first += 24) {
    ForwardContext context;
    logits.push_back(loaded.model->forward(tokens.slice(1, first, first + 24), state, context));
  }
  write_safetensors(loaded.folder + "/case.safetensors", {{"logits", at::cat(logits, 1)}, {"tokens", tokens}});
  return loaded.folder;
}

/// Of two memories and every block, and in turn what else the formulas have. A case is its overrides.
std::vector<std::string> cases() {
  std::vector<std::string> all{
      "model.kind=transformer",
      "model.kind=transformer model.attention=window model.window=5 model.persistent_tokens=2 model.kv_heads=1 model.rope_base=50",
      "model.kind=transformer model.positions=none model.ffn=swiglu model.tie_embeddings=true",
      "model.kind=transformer model.positions=learned model.conv_width=0",
      "model.kind=transformer model.positions=sinusoidal",
      "model.kind=ssm model.ssm.state=5 model.ffn=swiglu",
      "model.kind=ssm model.ssm.conv_width=0 model.ssm.head_width=4",
      "model.kind=titans_pytorch memory.kind=neural_mlp memory.group=2 memory.theta_max=0.1",
      "model.kind=titans_pytorch memory.kind=neural_mlp memory.group=3 memory.refresh=6 memory.heads=1 memory.qk_norm=rms memory.theta_max=0.1",
      "model.kind=titans_pytorch memory.kind=neural_mlp memory.off=true model.titans_pytorch.depth=3 model.titans_pytorch.expansion=2",
  };
  const std::string of_blocks[] = {"model.kind=lmm", "model.kind=lmm model.persistent_tokens=3 model.conv_width=0 model.ffn=swiglu",
                                   "model.kind=mag model.attention=window model.window=8 model.persistent_tokens=2",
                                   "model.kind=mag model.combine=product model.positions=none",
                                   "model.kind=mal model.attention=window model.window=8 model.persistent_tokens=2",
                                   "model.kind=mac model.mac.segment=7 model.persistent_tokens=2",
                                   "model.kind=mac model.mac.segment=7 model.combine=product model.memory_layers=1"};
  for (const std::string& block : of_blocks)
    for (const std::string memory : {"linear", "neural_mlp"}) all.push_back(block + " memory.kind=" + memory);
  const std::string linear = "model.persistent_tokens=3 memory.kind=linear ", mlp = "model.persistent_tokens=3 memory.kind=neural_mlp ";
  const std::string of_options[] = {
      linear + "memory.linear.features=2 memory.linear.init=random memory.expand_v=2 memory.head_width=6",
      linear + "memory.group=4 memory.retention_target=init memory.qk_norm=rms memory.gate_per_head=false",
      linear + "memory.keys_per_token=2 memory.read=before memory.gradient_at=decayed",
      linear + "memory.gradient=refresh memory.inner_loss=huber memory.huber_delta=0.5",
      linear + "memory.momentum=false memory.inner_loss=l2_mean memory.qk_norm=none",
      mlp + "memory.momentum_damping=false memory.theta_max=0.1 memory.neural_mlp.activation=gelu_sigmoid memory.read=before",
      mlp + "memory.gradient=refresh memory.neural_mlp.gate_per_matrix=false memory.theta_bias=1",  // the guard acts
      mlp + "memory.gradient=refresh memory.clip=0.5 memory.group=2 memory.gate_pooling=attention",
      mlp + "memory.neural_mlp.depth=3 memory.neural_mlp.expansion=2 memory.keys_per_token=2 memory.group=4",
      mlp + "memory.neural_mlp.form=residual+norm memory.neural_mlp.fast_gain=true memory.theta_max=0.02",
      mlp + "memory.neural_mlp.form=residual+norm memory.inner_loss=huber memory.theta_max=0.02",
      mlp + "memory.neural_mlp.form=plain memory.retention_target=zero memory.gradient_at=decayed memory.theta_max=0.02",
      mlp + "memory.forgetting=false memory.inner_loss=dot memory.gradient=refresh memory.theta_max=0.02",
      mlp + "memory.neural_mlp.depth=1",
  };
  const std::string blocks[] = {"lmm ", "mag ", "mac model.mac.segment=7 ", "mal "};
  size_t turn = 0;
  for (const std::string& options : of_options) all.push_back("model.kind=" + blocks[turn++ % 4] + options);
  all.push_back("model.kind=mac model.mac.segment=7 " + mlp + "memory.off=true");
  return all;
}

}  // namespace

TEST_CASE("whole models: logits equal those of an independent program that reads the same checkpoint", "[train][oracle][python]") {
  const TemporaryFolder folder;
  std::string folders;
  for (const std::string& overrides : cases()) {
    CAPTURE(overrides);
    folders += " '" + checkpoint(folder / ("case: " + overrides), split(overrides, ' ')) + "'";
  }
  const std::string root = MNEME_SOURCE_DIR;
  REQUIRE(std::system((root + "/.venv/bin/python " + root + "/tests/golden/whole_model.py 1e-12" + folders).c_str()) == 0);
}
