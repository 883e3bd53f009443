// A run as the trainer would leave it, with every part of the schema in use.
#pragma once

#include "results/run_record.h"

namespace mneme::test {

inline EvalSums sums(int64_t rows, int64_t scored, int64_t correct, int64_t exact, double loss) {
  return {rows, scored, correct, exact, loss};
}

inline RunInfo sample_info(const std::string& arm = "mag", int64_t seed = 1) {
  RunInfo info;
  info.run_id = "demo-" + arm + "-" + std::to_string(seed);
  info.config_ini = "[run]\nseed = " + std::to_string(seed) + "\n";
  info.config_hash = "0123456789abcdef";
  info.code_version = "0.1.0+aaaa";
  info.command_line = "mneme run demo.ini";
  info.libtorch_version = "2.13.0";
  info.blas = "MKL";
  info.device = "cpu";
  info.cpu_model = "a CPU";
  info.engine = "avx2";
  info.seed = seed;
  info.threads = 2;
  info.values = {{"run.seed", std::to_string(seed)}, {"run.labels", "arm:" + arm + ", task:needle"}, {"model.width", "64"},
                 {"task.kind", "needle"}};
  return info;
}

/// Settings of one axis `length`; `exact_of_100` of 100 rows right at each.
inline Evaluation sample_evaluation(int64_t step, const std::vector<int64_t>& exact_of_100 = {100, 90},
                                    const std::string& split = "test") {
  Evaluation evaluation;
  evaluation.task = "needle";
  evaluation.split = split;
  evaluation.metric = Metric::exact_match;
  evaluation.chance = 1e-5;
  evaluation.step = step;
  evaluation.axes = {"length"};
  evaluation.row_axes = {"depth_percent"};
  int64_t length = 256;
  for (const int64_t exact : exact_of_100) {
    EvalSetting entry;
    entry.setting = {length};
    entry.length = length;
    entry.sums = sums(100, 500, 5 * exact, exact, 500 * 0.25);
    entry.slices = {{{0}, sums(60, 300, 200, 50, 30)}, {{50}, sums(40, 200, 100, 30, 95)}};
    entry.seconds = 1.5;
    entry.tokens_per_s = 1000;
    entry.rss_mib = 200;
    entry.state_bytes = 4096;
    evaluation.settings.push_back(entry);
    length *= 4;
  }
  return evaluation;
}

inline TrainRow train_row(int64_t step, double loss = 2) { return {step, step * 256, loss, 1e-3, 0.5, 9000, 150}; }

inline RunRecord sample_run(const std::string& arm = "mag", int64_t seed = 1, const std::vector<int64_t>& exact = {100, 90}) {
  RunRecord run;
  run.info = sample_info(arm, seed);
  run.status = "done";
  run.created_utc = "2026-01-01T00:00:00Z";
  run.finished_utc = "2026-01-01T00:10:00Z";
  for (int64_t step = 10; step <= 100; step += 10)
    run.train.push_back(train_row(step, 5.0 / static_cast<double>(step) + 0.1 * static_cast<double>(seed)));
  run.evaluations = {sample_evaluation(100, exact)};
  run.probes = {{"layer0/write_rate", "1", "mean write gate", {50, 100}, {0.1, 0.2}}};
  run.cost = {70000, 4096, 25600, 9000, 300, 12.5};
  return run;
}

}  // namespace mneme::test
