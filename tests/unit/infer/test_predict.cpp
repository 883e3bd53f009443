#include <filesystem>

#include "io/hdf5.h"
#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/checkpoint.h"
#include "infer/predict.h"
#include "eval/state_file.h"
#include "train/optimizer.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

/// A saved model and an input of 5 rows of 50 tokens.
struct Answers : World {
  explicit Answers(const std::vector<std::string>& chosen = arm("mag"))
      : World(tiny_config(chosen + std::vector<std::string>{"eval.segment=7", "eval.batch_tokens=14"})) {
    torch::manual_seed(5);
    tokens = at::randint(0, 64, {5, 50}, at::kLong);
    AdamW adam(named_tensors(*model), [](const std::string&) { return true; }, config.train);
    TrainerState state;
    state.config_hash = config_hash(config);
    CheckpointFolder(folder.path() + "/checkpoint", 1).save(config, *model, adam.state(), state);
    write(tokens);
    options.checkpoint = folder.path();
    options.input = folder.path() + "/x.h5";
    options.output = folder.path() + "/y.h5";
    options.logits = true;
  }
  void write(const at::Tensor& rows) {
    h5::File file = h5::File::create(folder.path() + "/x.h5");
    const int64_t* values = rows.const_data_ptr<int64_t>();
    file.write<int64_t>("tokens", rows.sizes().vec(), std::vector<int64_t>(values, values + rows.numel()));
    file.close();
  }
  /// What `predict` says of these rows.
  at::Tensor logits_of(const at::Tensor& rows) {
    write(rows);
    predict(options);
    return at::tensor(h5::File::open(options.output).dataset("logits").read<float>()).view({rows.size(0), rows.size(1), 64});
  }
  at::Tensor expected() {
    at::NoGradGuard no_grad;
    State state;
    ForwardContext context;
    return model->forward(tokens, state, context);
  }
  TemporaryFolder folder;
  at::Tensor tokens;
  PredictOptions options;
};

}  // namespace

TEST_CASE("predict writes what the model says of each row, read in small pieces", "[train]") {
  Answers answers;
  const int64_t last = GENERATE(0, 1, 9);
  answers.options.last = last;
  const int64_t positions = last ? last : 50;
  const PredictSummary summary = predict(answers.options);
  CHECK(summary.rows == 5);
  CHECK(summary.positions == positions);
  const h5::File output = h5::File::open(answers.options.output);
  const at::Tensor expected = answers.expected().narrow(1, 50 - positions, positions);
  CHECK(output.dataset("argmax").shape() == h5::Shape{5, positions});
  CHECK(output.dataset("logits").shape() == h5::Shape{5, positions, 64});
  CHECK(at::tensor(output.dataset("argmax").read<int64_t>(), at::kLong).equal(expected.argmax(2).flatten()));
  const at::Tensor logits = at::tensor(output.dataset("logits").read<float>());
  CHECK((logits - expected.flatten()).abs().max().item<double>() < 2e-5);
  CHECK(output.integer("first_position") == 50 - positions);
}

// Calls that end inside a group: what the guard bounds, like all of a group, is known at its end only.
TEST_CASE("predict in small pieces: groups with a guard that acts", "[train]") {
  const std::string depth = GENERATE("1", "2");
  Answers answers(arm("mag_mlp") + std::vector<std::string>{"memory.gradient=refresh", "memory.group=4", "memory.theta_bias=2", "memory.neural_mlp.depth=" + depth});
  const at::Tensor logits = answers.logits_of(answers.tokens);
  CHECK((logits - answers.expected()).abs().max().item<double>() < 2e-5);
}

TEST_CASE("bad rows leave no output behind, and an earlier one as it was", "[train]") {
  Answers answers;
  predict(answers.options);
  const std::string before = bytes_of(answers.options.output);
  answers.tokens[3][41] = 64;
  answers.write(answers.tokens);
  CHECK_THAT(message_of<DataError>([&] { predict(answers.options); }),
             Contains("token 64 in row 3, column 41") && Contains("0 to 63"));
  answers.write(answers.tokens.flatten());
  CHECK_THAT(message_of<DataError>([&] { predict(answers.options); }), Contains("shape [rows, length]"));
  CHECK(bytes_of(answers.options.output) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(answers.folder.path()), {}) == 3);  // checkpoint, input, output
}

TEST_CASE("more last positions than a row has is a usage error", "[train]") {
  Answers answers;
  answers.options.last = 51;
  CHECK_THAT(message_of<UsageError>([&] { predict(answers.options); }), Contains("--last 51") && Contains("50 tokens"));
}

TEST_CASE("predict goes on from the memories that an earlier one left", "[train]") {
  Answers answers;
  answers.options.save_memory = answers.folder.path() + "/memory.safetensors";
  predict(answers.options);
  answers.options.memory = answers.options.save_memory;
  answers.options.save_memory.clear();
  predict(answers.options);
  const at::Tensor informed = at::tensor(h5::File::open(answers.options.output).dataset("logits").read<float>());

  State state;
  ForwardContext first, second;
  at::NoGradGuard no_grad;
  answers.model->forward(answers.tokens, state, first);
  State start = memories_of(state);
  const at::Tensor expected = answers.model->forward(answers.tokens, start, second);
  CHECK((informed - expected.flatten()).abs().max().item<double>() < 2e-5);
  CHECK((informed - answers.expected().flatten()).abs().max().item<double>() > 1e-3);

  answers.write(answers.tokens.narrow(0, 0, 3).contiguous());
  CHECK_THAT(message_of<CheckpointError>([&] { predict(answers.options); }), Contains("5 rows") && Contains("3 are read"));
}

// A group's α and η are of all its tokens: where a memory waits inside a group, its gates must go on too, or the tokens to come would
// move what was read before them.
TEST_CASE("memories that wait inside a group go on with it: later tokens change nothing before them", "[train]") {
  const std::string kind = GENERATE("lmm", "mag", "mag_mlp", "mac");
  const std::string pooling = GENERATE("mean", "attention");
  INFO(kind << ", " << pooling);
  const auto chosen = kind == "mac" ? std::vector<std::string>{"model.kind=mac", "model.mac.segment=7", "memory.kind=neural_mlp", "memory.refresh=16"}
                                    : arm(kind);
  Answers answers(chosen + std::vector<std::string>{"memory.group=4", "memory.gate_pooling=" + pooling, "memory.alpha_bias=-1"});
  answers.options.save_memory = answers.folder.path() + "/memory.safetensors";
  answers.logits_of(answers.tokens.narrow(1, 0, 7));  // between two groups wherever persistent tokens put them
  answers.options.memory = answers.options.save_memory;
  answers.options.save_memory.clear();
  const at::Tensor rows = answers.tokens.narrow(1, 20, 12);
  const at::Tensor logits = answers.logits_of(rows.contiguous());
  for (int64_t seen = 1; seen < 12; ++seen) {
    INFO("tokens from " << seen);
    at::Tensor later = rows.clone();
    later.narrow(1, seen, 12 - seen).add_(7).remainder_(64);
    const at::Tensor changed = answers.logits_of(later);
    CHECK((changed - logits).narrow(1, 0, seen).abs().max().item<double>() < 2e-6);
    CHECK((changed - logits).narrow(1, seen, 12 - seen).abs().max().item<double>() > 1e-3);
  }
}

// What a memory file holds is all that the memory's weights depend on: it ends where the whole state would have ended it.
TEST_CASE("a memory read from a file writes a waiting group as if it had gone on", "[train]") {
  const World world(tiny_config(arm("lmm") + std::vector<std::string>{"memory.group=4", "model.layers=1", "model.conv_width=0",
                                                                      "model.conv_init=random", "memory.alpha_bias=-1", "memory.theta_bias=0"}));
  at::NoGradGuard no_grad;
  torch::manual_seed(6);
  const at::Tensor tokens = at::randint(0, 64, {2, 14}, at::kLong);
  State whole;
  ForwardContext context;
  world.model->forward(tokens.narrow(1, 0, 6), whole, context);
  // Gates see a share of the last token too: with a file the text is a new one, so here it is cut as well.
  std::vector<std::pair<std::string, at::Tensor>> kept;
  for (const auto& entry : whole.flatten())
    if (!entry.first.ends_with("gate_tail")) kept.push_back(entry);
  State cut = State::unflatten(kept), stored = memories_of(whole);
  const at::Tensor expected = world.model->forward(tokens.narrow(1, 6, 8), cut, context);
  CHECK((world.model->forward(tokens.narrow(1, 6, 8), stored, context) - expected).abs().max().item<double>() < 2e-6);
}

TEST_CASE("what is not finite is no token: argmax is -1 there, it is counted, and no memories are written", "[train]") {
  Answers answers;
  {
    at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : named_tensors(*answers.model))
      if (name == "head") tensor.select(0, 9).fill_(3e38);  // finite weights whose products overflow, at most positions
    AdamW adam(named_tensors(*answers.model), [](const std::string&) { return true; }, answers.config.train);
    TrainerState state;
    state.step = 1;
    state.config_hash = config_hash(answers.config);
    CheckpointFolder(answers.folder.path() + "/checkpoint", 1).save(answers.config, *answers.model, adam.state(), state);
  }
  answers.options.save_memory = answers.folder.path() + "/memories";
  const PredictSummary summary = predict(answers.options);
  const h5::File file = h5::File::open(answers.options.output);
  const std::vector<int64_t> best = file.dataset("argmax").read<int64_t>();
  const at::Tensor finite = at::isfinite(at::tensor(file.dataset("logits").read<float>()).view({250, 64})).all(1);
  int64_t bad = 0;
  for (int64_t i = 0; i < 250; ++i) {
    const bool answer = finite[i].item<bool>();
    CHECK((best[static_cast<size_t>(i)] == -1) == !answer);
    bad += !answer;
  }
  CHECK((bad > 100 && summary.not_finite == bad && file.integer("not_finite") == bad));
  CHECK_THAT(summary.where_not_finite, Contains("row 0, position ") && Contains("what the model says is not finite from token "));
  CHECK_FALSE(std::filesystem::exists(answers.options.save_memory));
}
