// A sweep file: one base config and axes; expands to runs.
//
//   extends = ../base.ini
//   [sweep]
//   name = quickstart
//   axes = task, arm                 # named axes, product in this order
//   seeds = 1, 2, 3                  # run.seed, innermost
//   lr = 1e-3, 3e-3, 1e-2            # optional inner axis train.lr: chosen per combination on lr_seed, by validation
//   lr_seed = 100
//   exclude = task:needle arm:lmm; task:rewrite arm:rope_ffn     # combinations left out
//   [axis.arm.mag_linear]            # one value of the axis "arm": any config keys, also by extends
//   extends = ../models/mag.ini
//   memory.kind = linear
//   [grid]                           # product over single keys, values separated by |
//   memory.refresh = 16 | 64
//   [zip]                            # keys that advance together, equally many values each
//   model.width = 64 | 128
//   model.heads = 1 | 2
//
// Later ones win: what the file extends, its own keys, axes in order, grid, zip, overrides, seed and learning rate.
// Learning-rate trials carry the label "tuning:lr". Two runs with the same config hash are an error.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace mneme {

using Labels = std::vector<std::pair<std::string, std::string>>;  // axis → value, e.g. arm → mag_linear

struct SweepRun {
  Settings settings;   // complete; run.labels, run.name, run.seed and train.lr set
  Config config;
  std::string id;      // run_id(config)
  Labels labels;
  bool tuning = false; // a learning-rate trial on lr_seed
};

struct Sweep {
  std::string name;
  std::vector<std::string> axes;           // named axes, then grid and zip keys
  std::vector<double> lr;                  // empty = no inner learning-rate axis
  std::vector<SweepRun> tuning;            // combinations × lr, on lr_seed
  std::vector<Labels> combinations;        // in order
  /// combinations × seeds; `chosen_lr` per combination (in order), needed with an lr axis and ignored without one.
  std::vector<SweepRun> runs(const std::vector<double>& chosen_lr = {}) const;

  std::vector<Settings> combination_settings;  // one per combination, before seed and lr
  std::vector<int64_t> seeds;                  // empty = each combination's own run.seed
};

/// Reads and expands; overrides are `key=value` for every run (also sweep.seeds=1,2 and sweep.lr=). Throws ConfigError
/// listing every problem in any combination, naming the combination.
Sweep read_sweep(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace mneme
