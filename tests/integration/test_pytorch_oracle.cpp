// The transformer against an independent PyTorch program (tests/golden/pytorch_transformer.py) that reads the same weights:
// logits, every gradient by name, 20 training losses.
#include "tests/support/tensors.h"

#include <cstdlib>

#include "mneme/model.h"
#include "tests/support/temporary_folder.h"
#include "eval/loss.h"
#include "train/optimizer.h"

using namespace mneme;

namespace {

void require_pytorch_agrees(const ModelOptions& options, const std::string& folder) {
  register_blocks();
  register_memories();
  constexpr int64_t kRows = 3, kSteps = 50, kVocab = 40;
  SequenceModel model(options, {}, {kVocab, 64}, 3);
  NamedTensors file, parameters;
  for (auto& p : model.named_parameters()) {
    at::NoGradGuard no_grad;
    if (p.key() == "embedding") p.value().mul_(20);  // a confident model: gradients of ordinary size
    parameters.emplace_back(p.key(), p.value());
    file.emplace_back("weights/" + p.key(), p.value().detach().clone());
  }
  auto generator = at::make_generator<at::CPUGeneratorImpl>(4);
  const at::Tensor tokens = at::empty({kRows, kSteps}, at::kLong).random_(0, kVocab, generator);
  const at::Tensor targets = at::empty({kRows, kSteps}, at::kLong).random_(-1, kVocab, generator);
  const Scored scored = scored_positions(targets);
  auto loss = [&](at::Tensor* logits) {
    State state;
    ForwardContext context;
    const at::Tensor hidden = model.hidden(tokens, state, context);
    if (logits) *logits = model.logits(hidden).detach();
    return cross_entropy_sum(model.logits(select_scored(hidden, scored)), scored.targets) / double(scored.count);
  };

  at::Tensor logits;
  loss(&logits).backward();
  for (auto& [name, parameter] : parameters) file.emplace_back("gradient/" + name, parameter.grad().clone());
  TrainOptions train;  // AdamW .9/.98, decay .1, clip 1
  AdamW optimizer(parameters, [&](const std::string& name) { return model.decays(name); }, train);
  std::vector<double> losses;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const at::Tensor value = loss(nullptr);
    value.backward();
    optimizer.step(1e-3);
    losses.push_back(value.item<double>());
  }
  file.insert(file.end(), {{"tokens", tokens}, {"targets", targets}, {"logits", logits}, {"losses", at::tensor(losses, at::kDouble)}});
  const std::string path = folder + "/case.safetensors";
  const std::string metadata =
      "{\"layers\": " + std::to_string(options.layers) + ", \"width\": " + std::to_string(options.width) +
      ", \"heads\": " + std::to_string(options.heads) + ", \"kv_heads\": " + std::to_string(options.kv_heads ? options.kv_heads : options.heads) +
      ", \"window\": " + std::to_string(options.attention == "window" ? options.window : 0) + ", \"positions\": \"" + options.positions + "\"}";
  write_safetensors(path, file, {{"case", metadata}});
  const std::string root = MNEME_SOURCE_DIR;
  REQUIRE(std::system((root + "/.venv/bin/python " + root + "/tests/golden/pytorch_transformer.py " + path).c_str()) == 0);
}

}  // namespace

TEST_CASE("transformer: logits, gradients and training losses equal an independent PyTorch program's", "[train][oracle][python]") {
  const test::TemporaryFolder folder;
  ModelOptions full;
  full.layers = 2, full.width = 32, full.heads = 4;
  require_pytorch_agrees(full, folder.path());
  ModelOptions window = full;
  window.kv_heads = 2, window.attention = "window", window.window = 7, window.conv_width = 4, window.conv_init = "shift";
  window.tie_embeddings = false;
  require_pytorch_agrees(window, folder.path());
  ModelOptions learned = full;
  learned.positions = "learned", learned.conv_width = 3, learned.ffn = "none";
  require_pytorch_agrees(learned, folder.path());
  for (const std::string positions : {"none", "sinusoidal"}) {
    ModelOptions other = full;
    other.positions = positions, other.conv_width = 4;
    require_pytorch_agrees(other, folder.path());
  }
}
