// A small world for tests of training: plug-ins registered, tiny configs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "mneme/model.h"
#include "mneme/task.h"
#include "tests/support/temporary_folder.h"

namespace mneme::test {

/// MQAR with 64 tokens of vocabulary, a model of width 16, one thread, twenty steps; then the overrides, in order.
Config tiny_config(const std::vector<std::string>& overrides = {});

/// Overrides that make one of the arms: "full", "window", "lmm", "mag", "mag_mlp", "mag_off".
std::vector<std::string> arm(const std::string& name);
std::vector<std::string> operator+(std::vector<std::string> first, const std::vector<std::string>& second);

struct World {
  explicit World(const Config& made);
  Config config;
  std::unique_ptr<Task> task;
  std::shared_ptr<SequenceModel> model;
};

std::string bytes_of(const std::string& path);
void overwrite(const std::string& path, const std::string& bytes);

/// Runs the checkout's Python on a script with arguments; its standard output. Requires exit status 0.
std::string python(const std::string& script, const std::vector<std::string>& arguments);

/// The message of the exception of type E that `call` throws; fails the test where it throws none.
template <class E, class F>
std::string message_of(F&& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

}  // namespace mneme::test
