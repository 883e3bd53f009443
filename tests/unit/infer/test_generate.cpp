// Generation and states as files: what a model writes is what one call would say, and what it remembers survives a file.
#include <filesystem>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/checkpoint.h"
#include "infer/generate.h"
#include "eval/safetensors.h"
#include "eval/state_file.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

std::vector<int64_t> some_prompt(int64_t length, int seed = 3) {
  torch::manual_seed(seed);
  const at::Tensor tokens = at::randint(0, 64, {length}, at::kLong);
  return {tokens.const_data_ptr<int64_t>(), tokens.const_data_ptr<int64_t>() + length};
}

at::Tensor logits_of(SequenceModel& model, State& state, const std::vector<int64_t>& tokens) {
  at::NoGradGuard no_grad;
  ForwardContext context;
  return model.forward(at::tensor(tokens, at::kLong).unsqueeze(0), state, context);
}

LoadedModel loaded_of(const World& world, int64_t step = 7) { return {world.config, world.model, step, ""}; }

std::vector<std::string> mac() { return {"model.kind=mac", "model.mac.segment=6", "memory.kind=linear"}; }

}  // namespace

TEST_CASE("generated tokens are those that one call over prompt and answer says, prompt read in pieces", "[train][generate]") {
  for (const auto& options : {arm("mag"), arm("full"), mac()}) {
    World world(tiny_config(options + std::vector<std::string>{"runtime.dtype=float64"}));
    GenerateOptions request;
    request.tokens = 30;
    request.temperature = 0;
    request.segment = GENERATE(5, 1024);
    State state, whole;
    std::vector<int64_t> all = some_prompt(17);
    int64_t seen = 0;
    request.written = [&](int64_t) { ++seen; };
    const std::vector<int64_t> written = generate(*world.model, state, all, request);
    REQUIRE(seen == 30);
    all.insert(all.end(), written.begin(), written.end() - 1);
    const at::Tensor best = logits_of(*world.model, whole, all).argmax(2)[0].narrow(0, 16, 30);
    CHECK(at::equal(best, at::tensor(written, at::kLong)));
    const auto held = state.flatten(), expected = whole.flatten();
    REQUIRE(held.size() == expected.size());
    for (size_t i = 0; i < held.size(); ++i)
      if (held[i].second.is_floating_point()) CHECK((held[i].second - expected[i].second).abs().max().item<double>() < 1e-12);
  }
}

TEST_CASE("draws follow the distribution, the k most likely, and the seed", "[train][generate]") {
  const at::Tensor logits = at::tensor({0.5, 3.0, -1.0, 2.0});
  auto shares = [&](GenerateOptions options) {
    Random random(11);
    std::vector<double> share(4);
    for (int i = 0; i < 20000; ++i) share[static_cast<size_t>(draw_token(logits, options, random))] += 1.0 / 20000;
    return share;
  };
  GenerateOptions options;
  options.temperature = 2;
  const at::Tensor expected = (logits / 2).softmax(0);
  for (int64_t i = 0; i < 4; ++i) CHECK(std::abs(shares(options)[static_cast<size_t>(i)] - expected[i].item<double>()) < 0.015);
  options.top_k = 2;
  CHECK(shares(options)[0] == 0);
  CHECK(shares(options)[2] == 0);
  CHECK(shares(options)[3] > 0.3);
  options.temperature = 0;
  CHECK(shares(options)[1] > 0.999);

  World world(tiny_config(arm("mag")));
  GenerateOptions request;
  request.tokens = 40;
  auto with_seed = [&](uint64_t seed) {
    request.seed = seed;
    State state;
    return generate(*world.model, state, some_prompt(5), request);
  };
  CHECK(with_seed(1) == with_seed(1));
  CHECK(with_seed(1) != with_seed(2));
}

TEST_CASE("a prompt that cannot be read is refused", "[train][generate]") {
  World world(tiny_config(arm("mag")));
  State state;
  CHECK_THAT(message_of<UsageError>([&] { generate(*world.model, state, {}, {}); }), Contains("empty"));
  CHECK_THAT(message_of<DataError>([&] { generate(*world.model, state, {3, 64}, {}); }), Contains("token 1") && Contains("0 to 63"));
}

TEST_CASE("a state goes on from a file bit by bit", "[train][state]") {
  TemporaryFolder folder;
  for (const auto& options : {arm("mag_mlp"), arm("window"), mac()}) {
    World world(tiny_config(options));
    at::NoGradGuard no_grad;
    torch::manual_seed(4);
    const at::Tensor x = at::randint(0, 64, {3, 40}, at::kLong);
    State state;
    ForwardContext first;
    first.reset = at::zeros({3, 21}, at::kBool);
    first.reset[1][9] = true;  // a row of another age
    world.model->forward(x.narrow(1, 0, 21), state, first);
    save_state(folder.path() + "/state.safetensors", state);
    State loaded = load_state(folder.path() + "/state.safetensors");
    ForwardContext a, b;
    CHECK(at::equal(world.model->forward(x.narrow(1, 21, 19), state, a), world.model->forward(x.narrow(1, 21, 19), loaded, b)));
  }
}

TEST_CASE("memories alone can be saved, given to other rows, and are refused where they do not belong", "[train][state]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/memory.safetensors";
  for (const auto& options : {arm("lmm"), arm("mag_mlp"), mac()}) {
    World world(tiny_config(options));
    State read;
    logits_of(*world.model, read, some_prompt(30));
    save_memories(path, read, loaded_of(world));

    // One row serves for all; it is what the memories hold, and it changes what is said.
    const State start = StoredMemories(path, loaded_of(world), 2).rows(0, 2);
    const auto kept = memories_of(read).flatten(), given = memories_of(start).flatten();
    REQUIRE(kept.size() == given.size());
    for (size_t i = 0; i < kept.size(); ++i)
      if (kept[i].second.dim() > 0) CHECK(at::equal(given[i].second[1], kept[i].second[0]));
    State informed = StoredMemories(path, loaded_of(world), 1).rows(0, 1), fresh;
    CHECK_FALSE(at::equal(logits_of(*world.model, informed, {5, 9}), logits_of(*world.model, fresh, {5, 9})));

    CHECK_THAT(message_of<CheckpointError>([&] { StoredMemories(path, loaded_of(world, 8), 1); }),
               Contains("step 7") && Contains("step 8"));
    World wider(tiny_config(options + std::vector<std::string>{"model.width=32"}));
    CHECK_THAT(message_of<CheckpointError>([&] { StoredMemories(path, loaded_of(wider), 1); }), Contains("16") && Contains("32"));
    World other(tiny_config(arm("full")));
    CHECK_THAT(message_of<CheckpointError>([&] { StoredMemories(path, loaded_of(other), 1); }), Contains("unknown here"));
  }
  World off(tiny_config(arm("mag_off")));
  State nothing;
  logits_of(*off.model, nothing, {1, 2, 3});
  CHECK_THAT(message_of<DataError>([&] { save_memories(path, nothing, loaded_of(off)); }), Contains("memory.off"));
}

TEST_CASE("memories of rows of different age, with tokens left out inside a group, come back from a file", "[train][state]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/memory.safetensors";
  for (const std::string group : {"1", "4"}) {
    World world(tiny_config(arm("mag") + std::vector<std::string>{"memory.group=" + group}));
    at::NoGradGuard no_grad;
    State state;
    ForwardContext context;
    context.write = at::ones({2, 9}, at::kBool), context.write[0][8] = false;
    context.reset = at::zeros({2, 9}, at::kBool), context.reset[1][3] = true;
    torch::manual_seed(5);
    world.model->forward(at::randint(0, 64, {2, 9}, at::kLong), state, context);
    save_memories(path, state, loaded_of(world));
    const auto kept = memories_of(state).flatten(), given = memories_of(StoredMemories(path, loaded_of(world), 2).rows(0, 2)).flatten();
    REQUIRE(given.size() == kept.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      INFO(kept[i].first);
      CHECK(at::equal(given[i].second, kept[i].second));
    }
  }
}

TEST_CASE("memories of several rows are for as many rows", "[train][state]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/memory.safetensors";
  World world(tiny_config(arm("mag")));
  State state;
  ForwardContext context;
  {
    at::NoGradGuard no_grad;
    world.model->forward(at::randint(0, 64, {4, 9}, at::kLong), state, context);
  }
  save_memories(path, state, loaded_of(world));
  CHECK_NOTHROW(StoredMemories(path, loaded_of(world), 4));
  CHECK_THAT(message_of<CheckpointError>([&] { StoredMemories(path, loaded_of(world), 3); }), Contains("4 rows") && Contains("3 are read"));
  const auto part = StoredMemories(path, loaded_of(world), 4).rows(2, 2).flatten(), all = memories_of(state).flatten();
  for (size_t i = 0; i < part.size(); ++i)
    if (part[i].second.dim() > 0) CHECK(at::equal(part[i].second, all[i].second.narrow(0, 2, 2)));
}

TEST_CASE("after logits that are not finite there is no token; memories that are not are neither written nor read", "[train][generate]") {
  TemporaryFolder folder;
  const World world(tiny_config(arm("mag") + std::vector<std::string>{"memory.heads=2"}));
  const LoadedModel loaded = loaded_of(world);
  GenerateOptions request;
  request.tokens = 3;
  request.temperature = 0;
  State state;
  generate(*world.model, state, some_prompt(20), request);
  save_memories(folder / "good", state, loaded);
  NamedTensors all = state.flatten();
  for (auto& [path, tensor] : all)
    if (path.find("layers_1") != std::string::npos && path.ends_with("memory/weights_0")) tensor.select(1, 1).fill_(std::numeric_limits<float>::infinity());
  State bad = State::unflatten(all);
  CHECK_THAT(message_of<DivergedError>([&] { save_memories(folder / "bad", bad, loaded); }),
             Contains("bad is not written") && Contains("layer 1, head 1: fast weights 0"));
  CHECK_FALSE(std::filesystem::exists(folder / "bad"));
  save_state(folder / "bad", memories_of(bad), {{"config_hash", config_hash(world.config)}, {"step", "7"}});
  CHECK_THAT(message_of<CheckpointError>([&] { StoredMemories(folder / "bad", loaded, 1); }), Contains("layer 1, head 1: fast weights 0"));
  StoredMemories(folder / "good", loaded, 1);
  CHECK_THAT(message_of<DivergedError>([&] { generate(*world.model, bad, some_prompt(5), request); }),
             Contains("no token after the first 5") && Contains("layer 1, head 1: fast weights 0 are not finite from token 0 on"));
}
