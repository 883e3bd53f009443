#include <filesystem>

#include "core/hdf5.h"
#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/unit/train/train_fixture.h"
#include "train/checkpoint.h"
#include "train/predict.h"
#include "train/state_file.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Matchers::Contains;

namespace {

/// A saved model and an input of 5 rows of 50 tokens.
struct Answers : World {
  explicit Answers()
      : World(tiny_config(arm("mag") + std::vector<std::string>{"eval.segment=7", "eval.batch_tokens=14"})) {
    torch::manual_seed(5);
    tokens = at::randint(0, 64, {5, 50}, at::kLong);
    AdamW adam(named_tensors(*model), [](const std::string&) { return true; }, config.train);
    TrainerState state;
    state.config_hash = config_hash(config);
    CheckpointFolder(folder.path() + "/checkpoint", 1).save(config, *model, adam, state);
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
  CHECK_FALSE(std::filesystem::exists(answers.options.output + ".unfinished"));
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
