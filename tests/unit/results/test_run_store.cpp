#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "io/seal.h"
#include "mneme/errors.h"
#include "results/run_file.h"
#include "results/run_store.h"
#include "tests/support/sample_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

std::vector<nlohmann::json> stream(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

void fill(RunStore& store, int64_t from, int64_t to) {
  for (int64_t step = from; step <= to; step += 10) {
    store.log(test::train_row(step));
    if (step % 50 != 0) continue;
    store.add(test::sample_evaluation(step, {50, 40}, "validation"));
    store.probe("layer0/write_rate", step, 0.1, "1", "mean write gate");
    store.write("running");
  }
}

}  // namespace

TEST_CASE("a run folder holds config, live metrics and run.h5", "[run_store]") {
  test::TemporaryFolder folder;
  {
    RunStore store(folder / "a/run", test::sample_info());
    CHECK(store.previous_status().empty());
    store.note("started");
    store.log(test::train_row(10));
    CHECK(stream(folder / "a/run/metrics.jsonl").at(0).at("step") == 10);  // live: readable before the store closes
    store.log({20, 5120, std::nan(""), 1e-3, 1, 1, 1});
    CHECK(stream(folder / "a/run/metrics.jsonl").at(1).at("loss").is_null());
    store.add(test::sample_evaluation(20));
    store.write("done");
  }
  const std::string ini = read_file(folder / "a/run/config.ini");
  CHECK(ini.starts_with(test::sample_info().config_ini));
  CHECK(seal_of(ini) == Seal::whole);
  CHECK_THAT(read_file(folder / "a/run/log.txt"), Contains("started"));
  const nlohmann::json line = stream(folder / "a/run/metrics.jsonl").at(3);
  CHECK(line.at("setting").at("length") == 1024);
  CHECK(line.at("exact_match") == 0.9);
  const RunRecord run = read_run(folder / "a/run");
  CHECK(run.status == "done");
  CHECK_FALSE(run.finished_utc.empty());
  RunStore again(folder / "a/run", test::sample_info());
  CHECK(again.previous_status() == "done");
  CHECK(again.previous_code_version() == "0.1.0+aaaa");
}

TEST_CASE("resuming keeps what the checkpoint has seen and cuts the rest", "[run_store]") {
  test::TemporaryFolder folder;
  { RunStore store(folder.path(), test::sample_info()); fill(store, 10, 110), store.write("running"), fill(store, 120, 120); }
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << "{\"type\":\"train\",\"st";  // the writer was killed
  RunStore store(folder.path(), test::sample_info());
  store.resume_at(110);
  REQUIRE(store.train_rows().size() == 11);  // of run.h5, which is written before each checkpoint
  CHECK(store.train_rows().back().step == 110);
  CHECK(store.evaluations().size() == 2);
  store.resume_at(70);
  CHECK(store.train_rows().back().step == 70);
  CHECK(store.evaluations().size() == 1);
  fill(store, 80, 100);
  for (const auto& line : stream(folder / "metrics.jsonl")) CHECK(line.at("step") <= 100);
  const RunRecord run = read_run(folder.path());
  CHECK(run.train.size() == 10);
  REQUIRE(run.evaluations.size() == 2);
  CHECK(run.probes.at(0).steps == std::vector<int64_t>{50, 100});
}

TEST_CASE("without a resume nothing of an earlier attempt stays", "[run_store]") {
  test::TemporaryFolder folder;
  { RunStore store(folder.path(), test::sample_info()); fill(store, 10, 100); }
  { RunStore store(folder.path(), test::sample_info()); fill(store, 10, 50); }
  CHECK(read_run(folder.path()).train.size() == 5);
  CHECK(stream(folder / "metrics.jsonl").back().at("step") == 50);
}

TEST_CASE("an evaluation repeated at a step replaces the old one; other settings add to it", "[run_store]") {
  test::TemporaryFolder folder;
  RunStore store(folder.path(), test::sample_info());
  store.add(test::sample_evaluation(10, {1, 2}));
  store.add(test::sample_evaluation(10, {3, 4, 5}));
  REQUIRE(store.evaluations().size() == 1);
  REQUIRE(store.evaluations()[0].settings.size() == 3);
  CHECK(store.evaluations()[0].settings[0].sums.exact == 3);
}

TEST_CASE("a folder in use, of another config or with a damaged run.h5 is refused", "[run_store]") {
  test::TemporaryFolder folder;
  {
    RunStore store(folder.path(), test::sample_info());
    store.write("running");
    CHECK_THROWS_WITH(RunStore(folder.path(), test::sample_info()), Contains("in use by process " + std::to_string(::getpid())));
    store.write("done");
    CHECK(RunStore(folder.path(), test::sample_info()).previous_status() == "done");  // to be read, by anyone
  }
  RunInfo other = test::sample_info();
  other.config_hash = "ffff";
  CHECK_THROWS_WITH(RunStore(folder.path(), other), Contains("another config") && Contains("ffff"));
  atomic_write(folder / "run.h5", "damaged");
  CHECK_THROWS_WITH(RunStore(folder.path(), test::sample_info()), Contains("run.h5") && Contains("move it away or delete it"));
}

TEST_CASE("run.h5 is readable whenever its writer is killed", "[run_store]") {
  test::TemporaryFolder folder;
  { RunStore store(folder.path(), test::sample_info()); fill(store, 10, 500); }
  for (int round = 0; round < 6; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      RunStore store(folder.path(), test::sample_info());
      store.resume_at(500);
      while (true) store.write("running");
    }
    ::usleep(static_cast<useconds_t>(40000 + 7300 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const RunRecord run = read_run(folder.path());
    REQUIRE(run.train.size() == 50);
    REQUIRE(run.status == "running");
  }
}

TEST_CASE("on a full disk run.h5 stays as it was", "[run_store]") {
  test::TemporaryFolder folder;
  { RunStore store(folder.path(), test::sample_info()); fill(store, 10, 50); }
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    RunStore store(folder.path(), test::sample_info());
    store.resume_at(50);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      store.write("done");
    } catch (const StoreError&) {
      ::_exit(0);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(read_run(folder.path()).status == "running");
}

TEST_CASE("an evaluation is streamed whole, with its probes, once it is stored", "[run_store]") {
  test::TemporaryFolder folder;
  RunStore store(folder.path(), test::sample_info());
  store.log(test::train_row(10));
  store.add(test::sample_evaluation(10, {50, 40}, "validation"));
  store.probe("layer0/write_rate", 10, 0.1, "1", "mean write gate");
  CHECK(stream(folder / "metrics.jsonl").size() == 1);
  store.write("running");
  CHECK(stream(folder / "metrics.jsonl").size() == 4);
  store.add(test::sample_evaluation(20, {50}, "validation"));
  store.log(test::train_row(20));
  CHECK(stream(folder / "metrics.jsonl").size() == 6);
}
