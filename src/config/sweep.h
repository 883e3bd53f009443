// A sweep file: one base config and axes; expands to runs.
//
//   extends = ../base.ini
//   [sweep]
//   name = quickstart
//   axes = task, arm                 # named axes, product in this order
//   seeds = 1, 2, 3                  # run.seed, innermost
//   lr = 1e-3, 4e-3, 16e-3           # optional inner axis train.lr: chosen per combination on lr_seed, by validation
//   lr_extend = 2                    # so many rates more beyond an edge at which the best one lies (config/lr_grid.h)
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
//   [case.task.needle.arm.lmm]       # keys of combinations that have all these values
//   train.steps = 800
//   [search.arm.rope]                # tuned over, per combination that has these values: a grid, each point with all of lr
//   model.rope_base = 1e4 | 1e5
//   [search.arm.rope.zip]            # likewise, keys that advance together
//   model.layers = 2 | 3
//   model.ffn_width = 168 | 80
//   [trials]                         # keys of the trials alone
//   eval.tokens = 65536
//
// Later ones win: what the file extends, its own keys, axes in order, grid, zip, cases, overrides, what was chosen, seed.
// Trials carry the label "tuning:lr", runs whose settings were chosen by them the label "trials:<how many>", and "lr_edge:true" where the rate
// lies at an edge of those tried. Two runs with the same config hash are an error.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace mneme {

using Labels = std::vector<std::pair<std::string, std::string>>;  // axis → value, e.g. arm → mag_linear

/// One step along an axis, or one of the settings that a combination is tuned over; a zip advances several keys at once and so carries
/// several labels.
struct AxisValue {
  Labels labels;
  Settings settings;
};

struct SweepRun {
  Settings settings;   // complete; run.labels, run.name, run.seed and train.lr set
  Config config;
  std::string id;      // run_id(config)
  Labels labels;
  bool tuning = false; // a trial on lr_seed
  size_t combination = 0, candidate = 0;  // places in Sweep::combinations and Sweep::candidates[combination]
  int64_t extension = 0;                  // > 0: the so-many-th rate beyond the grid
};

/// What the trials of a combination came to.
struct Tuned {
  size_t candidate = 0;
  double lr = 0;           // 0 = train.lr as configured
  int64_t trials = 0;
  bool at_edge = false;    // no rate beyond it was tried on one side
};

struct Sweep {
  std::string name;
  std::vector<std::string> axes;           // named axes, then grid and zip keys
  std::vector<double> lr;                  // empty = train.lr is not chosen
  int64_t lr_extend = 0;
  int64_t lr_seed = 0;
  std::vector<SweepRun> tuning;            // combinations × candidates × lr, on lr_seed; empty = nothing is chosen
  std::vector<Labels> combinations;        // in order
  /// combinations × seeds; `tuned` per combination (in order), needed where something is chosen.
  std::vector<SweepRun> runs(const std::vector<Tuned>& tuned = {}) const;
  /// One trial more, of a rate beyond the grid.
  SweepRun trial(size_t combination, size_t candidate, double rate, int64_t extension) const;

  std::vector<Settings> combination_settings;      // one per combination, before what is chosen and the seed
  std::vector<std::vector<AxisValue>> candidates;  // per combination what it is tuned over; at least one, which may set nothing
  Settings trial_settings;                         // keys of the trials alone
  std::vector<int64_t> seeds;                      // empty = each combination's own run.seed
};

/// Reads and expands; overrides are `key=value` for every run (also sweep.seeds=1,2 and sweep.lr=). Throws ConfigError
/// listing every problem in any combination, naming the combination.
Sweep read_sweep(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace mneme
