// A run that is killed at any moment and started again gives the same weights and the same numbers, bit for bit.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "mneme/errors.h"
#include "results/run_file.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "train/trainer.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

constexpr const char* kFolder = "MNEME_TEST_RUN_FOLDER";

Config run_config(const std::string& folder) {
  return tiny_config(arm("mag") + std::vector<std::string>{"run.folder=" + folder, "model.dropout=0.1",
                                                           "train.steps=120", "train.checkpoint_every=7",
                                                           "eval.every=30", "train.log_every=5", "train.keep=2",
                                                           "eval.samples=8"});
}

TrainerResult run_here(const std::string& folder) {
  Log log(/*quiet=*/true);
  return train(run_config(folder), {"test"}, log);
}

/// This program again, running the hidden test case below.
pid_t start_child(const std::string& folder) {
  const pid_t child = fork();
  if (child == 0) {
    setenv(kFolder, folder.c_str(), 1);
    freopen("/dev/null", "w", stdout);
    execl("/proc/self/exe", "test_train", "[child]", static_cast<char*>(nullptr));
    _exit(127);
  }
  return child;
}

void require_same(const std::string& a, const std::string& b) {
  const std::string weights = "/checkpoint/step-120/model.safetensors",
                    moments = "/checkpoint/step-120/optimizer.safetensors";
  CHECK(bytes_of(a + weights) == bytes_of(b + weights));
  CHECK(bytes_of(a + moments) == bytes_of(b + moments));
  const RunRecord left = read_run(a + "/run.h5"), right = read_run(b + "/run.h5");
  CHECK(left.status == "done");
  CHECK(right.status == "done");
  REQUIRE(left.train.size() == 24);
  REQUIRE(right.train.size() == 24);
  for (size_t i = 0; i < 24; ++i) {
    const TrainRow &x = left.train[i], &y = right.train[i];
    CHECK((x.step == y.step && x.tokens == y.tokens && x.loss == y.loss && x.lr == y.lr && x.grad_norm == y.grad_norm));
  }
  REQUIRE(left.evaluations.size() == 5);  // validation at 30, 60, 90, 120 and the test
  REQUIRE(right.evaluations.size() == 5);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(left.evaluations[i].step == right.evaluations[i].step);
    for (size_t s = 0; s < left.evaluations[i].settings.size(); ++s)
      CHECK(left.evaluations[i].settings[s].sums == right.evaluations[i].settings[s].sums);
  }
}

}  // namespace

TEST_CASE("(child of the test below) one run", "[.child]") {
  const char* folder = std::getenv(kFolder);
  REQUIRE(folder);
  int status = 0;
  try {
    run_here(folder);
  } catch (const Error& error) {
    status = error.exit_code();
  }
  std::_Exit(status);
}

TEST_CASE("kill -9 at random moments and resume: the same as never stopped", "[integration]") {
  TemporaryFolder whole, killed;
  const std::string expected = run_here(whole.path()).folder;
  const auto seed = static_cast<unsigned>(getpid());
  INFO("moments drawn with seed " << seed);
  std::mt19937 random(seed);
  double longest_s = 0.6;
  int kills = 0;
  for (int attempt = 0; attempt < 60; ++attempt, longest_s *= 1.15) {
    const pid_t child = start_child(killed.path());
    const auto wait =
        std::chrono::duration<double>(longest_s * (0.3 + 0.7 * std::generate_canonical<double, 32>(random)));
    const auto end = std::chrono::steady_clock::now() + wait;
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (ended == child) {
      REQUIRE(WIFEXITED(status));
      REQUIRE(WEXITSTATUS(status) == 0);
      break;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ++kills;
  }
  CHECK(kills > 0);
  require_same(expected, killed.path() + "/" + fs::path(expected).filename().string());
}

TEST_CASE("SIGTERM: the step is finished, a checkpoint saved, exit 75, and the run can go on", "[integration]") {
  TemporaryFolder whole, stopped;
  const std::string expected = run_here(whole.path()).folder;
  const std::string folder = stopped.path() + "/" + fs::path(expected).filename().string();
  const pid_t child = start_child(stopped.path());
  while (!fs::exists(folder + "/checkpoint/latest") && kill(child, 0) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(child, SIGTERM);
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) != 0) {  // 0: it was done before the signal came
    CHECK(WEXITSTATUS(status) == 75);
    CHECK(read_run(folder + "/run.h5").status == "running");
    CHECK_FALSE(run_here(stopped.path()).already_done);
  }
  require_same(expected, folder);
}

TEST_CASE("a finished run says so and computes nothing; another code version is refused", "[integration]") {
  TemporaryFolder folder;
  const TrainerResult first = run_here(folder.path());
  const std::string bytes = bytes_of(first.folder + "/run.h5");
  const TrainerResult again = run_here(folder.path());
  CHECK_FALSE(first.already_done);
  CHECK(again.already_done);
  REQUIRE(again.evaluations.size() == 2);
  CHECK(again.evaluations[1].settings[0].sums == first.evaluations[1].settings[0].sums);
  CHECK(again.cost.parameters == first.cost.parameters);
  CHECK(bytes_of(first.folder + "/run.h5") == bytes);
  RunRecord old = read_run(first.folder + "/run.h5");
  old.info.code_version = "0.0.1+old";
  overwrite(first.folder + "/run.h5", run_file_bytes(old));
  CHECK_THAT(message_of<StoreError>([&] { run_here(folder.path()); }),
             Contains("0.0.1+old") && Contains("delete the folder"));
}

TEST_CASE("a run that diverges keeps its results and says where", "[integration]") {
  TemporaryFolder folder;
  Log log(true);
  const Config config = tiny_config(
      arm("full") + std::vector<std::string>{"run.folder=" + folder.path(), "train.lr=100", "train.warmup=0",
                                             "train.steps=60", "train.weight_decay=1", "train.log_every=1"});
  const std::string message = message_of<DivergedError>([&] { train(config, {}, log); });
  CHECK_THAT(message, Contains("diverged at step"));
  const RunRecord record = read_run(folder.path() + "/" + run_id(config) + "/run.h5");
  CHECK(record.status == "diverged");
  CHECK(record.error == message);
  CHECK_FALSE(record.train.empty());
  CHECK_THAT(message_of<DivergedError>([&] { train(config, {}, log); }), Contains("diverged before"));
}
