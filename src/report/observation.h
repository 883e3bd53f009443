// One number of one run with every key it can be found by: the rows of the long form that tables and figures pivot.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/text.h"
#include "results/run_record.h"

namespace mneme {

struct Observation {
  const RunRecord* run = nullptr;
  const Evaluation* evaluation = nullptr;
  const EvalSetting* setting = nullptr;
  std::map<std::string, int64_t> slice;  // by row axis, of those that were asked for; empty = the whole setting
  EvalSums sums;
  std::string reference = {};  // of the task's references, whose sums these are; "" = the model's
};

/// Whether a key says what was trained rather than what was asked: not one of sections task and eval, an axis, or the label `task`. A
/// reference has its name there.
bool is_of_model(const Observation& observation, const std::string& key);

/// A label or config key of a run; "task" without such a label is the task's kind, "seed" is run.seed. "" = unknown.
std::string run_key(const RunRecord& run, const std::string& key);

/// The same for an observation: also axes, row axes, "setting" and "split". "" = it has no such key.
std::string key_of(const Observation& observation, const std::string& key);

/// The last evaluation of every task on `split`, one observation per setting, and one per setting and reference; with row axes, one per slice of it,
/// of the model alone, along those that the task has, the rows of the others together. A task that has none of them has no observation then.
std::vector<Observation> observations(const RunRecord& run, const std::string& split, const std::vector<std::string>& row_axes = {});

/// Whether `key` is a row axis of any evaluation, so that slices are needed. A label of that name comes first: then it is none.
bool is_row_axis(const std::vector<RunRecord>& runs, const std::string& key);

/// Whether its rows are drawn for its seed alone (eval.per_seed); else runs of all seeds answer the same ones.
bool has_own_rows(const RunRecord& run);

/// Whose rows a reference was scored on: the run's seed, 0 where all seeds have the same.
int64_t rows_of_reference(const Observation& observation);

/// Whether a reference was asked the same rows twice: its numbers are the same, but for the rounding of another machine.
bool same_numbers(const EvalSums& a, const EvalSums& b);

/// Every key that could be asked for, for messages.
std::vector<std::string> known_keys(const std::vector<RunRecord>& runs);

/// Numbers by value, texts by first appearance: sorts keys for display.
void sort_keys(std::vector<std::vector<std::string>>& keys);

}  // namespace mneme
