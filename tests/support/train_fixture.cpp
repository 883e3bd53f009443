#include "tests/support/train_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "base/files.h"
#include "mneme/memory.h"
#include "eval/make.h"
#include "eval/runtime.h"

namespace mneme::test {

Config tiny_config(const std::vector<std::string>& overrides) {
  register_tasks();
  make_plugins_known();
  Settings settings = Settings::from_text(R"(
[model]
layers = 2
width = 16
ffn = none
conv_width = 4
conv_init = shift
tie_embeddings = false
[task]
kind = mqar
[task.mqar]
filler = zeros
vocab = 64
train = 32x4
test = 32x4, 64x8
[train]
steps = 20
batch = 8
warmup = 5
log_every = 5
checkpoint_every = 10
[eval]
samples = 16
segment = 24
every = 10
[runtime]
threads = 1
)",
                                          "tiny");
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  Config config = resolve(settings);
  set_up_runtime(config.runtime);
  return config;
}

std::vector<std::string> operator+(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::vector<std::string> arm(const std::string& name) {
  if (name == "full") return {"model.kind=transformer"};
  if (name == "full_nope") return {"model.kind=transformer", "model.positions=none"};
  if (name == "window") return {"model.kind=transformer", "model.attention=window", "model.window=8"};
  if (name == "lmm") return {"model.kind=lmm", "memory.kind=linear"};
  const std::vector<std::string> mag{"model.kind=mag", "model.attention=window", "model.window=8",
                                     "model.persistent_tokens=2"};
  if (name == "mag") return mag + std::vector<std::string>{"memory.kind=linear"};
  if (name == "mag_mlp") return mag + std::vector<std::string>{"memory.kind=neural_mlp", "memory.refresh=16"};
  if (name == "mag_off") return mag + std::vector<std::string>{"memory.kind=linear", "memory.off=true"};
  throw std::logic_error("no arm " + name);
}

World::World(const Config& made)
    : config(made), task(make_task(config)), model(make_model(config, model_shape(*task))) {}

std::string bytes_of(const std::string& path) { return read_file(path); }

void overwrite(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string python(const std::string& script, const std::vector<std::string>& arguments) {
  std::string command = std::string(MNEME_SOURCE_DIR) + "/.venv/bin/python -c '" + script + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char block[4096];
  while (const size_t count = std::fread(block, 1, sizeof block, pipe)) output.append(block, count);
  if (pclose(pipe) != 0) throw std::runtime_error("python failed: " + command);
  return output;
}

}  // namespace mneme::test
