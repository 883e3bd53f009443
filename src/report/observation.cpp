#include "report/observation.h"

#include <algorithm>
#include <cmath>
#include <charconv>
#include <optional>
#include <set>

#include "base/text.h"

namespace mneme {

namespace {

/// "256" → {256}, "8x2048" → {8, 2048}, "0.5" → {0.5}; nothing for other text.
std::optional<std::vector<double>> numbers(const std::string& text) {
  std::vector<double> values;
  for (const std::string& part : split(text, 'x')) {
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
    values.push_back(value);
  }
  if (values.empty()) return std::nullopt;
  return values;
}

std::string on_axis(const std::vector<std::string>& axes, const std::vector<int64_t>& values, const std::string& key) {
  for (size_t i = 0; i < axes.size() && i < values.size(); ++i)
    if (axes[i] == key) return std::to_string(values[i]);
  return "";
}

}  // namespace

std::string run_key(const RunRecord& run, const std::string& key) {
  if (std::string label = run.label(key); !label.empty()) return label;
  if (key == "task") return run.value("task.kind");
  if (key == "seed") return std::to_string(run.info.seed);
  if (key == "run_id") return run.info.run_id;
  if (key == "status") return run.status;
  if (key == "code_version") return run.info.code_version;
  return run.value(key);
}

std::string key_of(const Observation& observation, const std::string& key) {
  if (key == "setting") return setting_text(observation.setting->setting);
  if (key == "split") return observation.evaluation->split;
  if (std::string value = on_axis(observation.evaluation->axes, observation.setting->setting, key); !value.empty()) return value;
  if (const auto value = observation.slice.find(key); value != observation.slice.end()) {
    const auto named = observation.evaluation->row_names.find(key);
    return named == observation.evaluation->row_names.end() ? std::to_string(value->second) : named->second.at(static_cast<size_t>(value->second));
  }
  if (key == "tokens_per_row") return std::to_string(observation.setting->length);
  return run_key(*observation.run, key);
}

bool is_of_model(const Observation& observation, const std::string& key) {
  for (const char* asked : {"task.", "eval."})
    if (key.starts_with(asked)) return false;
  for (const char* asked : {"task", "seed", "setting", "split", "tokens_per_row", "status", "code_version"})
    if (key == asked) return false;
  const std::vector<std::string>& axes = observation.evaluation->axes;
  return std::count(axes.begin(), axes.end(), key) == 0;
}

std::vector<Observation> observations(const RunRecord& run, const std::string& split_name, const std::vector<std::string>& row_axes) {
  std::vector<Observation> result;
  std::set<std::string> tasks;
  for (const Evaluation& evaluation : run.evaluations) tasks.insert(evaluation.task);
  for (const std::string& task : tasks) {
    const Evaluation* evaluation = run.last_evaluation(task, split_name);
    if (!evaluation) continue;
    const bool sliced = std::any_of(evaluation->row_axes.begin(), evaluation->row_axes.end(), [&](const std::string& axis) {
      return std::count(row_axes.begin(), row_axes.end(), axis) > 0;
    });
    for (const EvalSetting& setting : evaluation->settings) {
      if (row_axes.empty()) {
        result.push_back({&run, evaluation, &setting, {}, setting.sums});
        for (const auto& [name, sums] : setting.references) result.push_back({&run, evaluation, &setting, {}, sums, name});
      }
      if (!sliced) continue;
      std::map<std::map<std::string, int64_t>, EvalSums> together;
      for (const auto& [values, sums] : setting.slices) {
        std::map<std::string, int64_t> slice;
        for (size_t i = 0; i < values.size(); ++i)
          if (std::count(row_axes.begin(), row_axes.end(), evaluation->row_axes.at(i))) slice[evaluation->row_axes[i]] = values[i];
        together[slice] += sums;
      }
      for (const auto& [slice, sums] : together) result.push_back({&run, evaluation, &setting, slice, sums});
    }
  }
  return result;
}

bool is_row_axis(const std::vector<RunRecord>& runs, const std::string& key) {
  if (std::any_of(runs.begin(), runs.end(), [&](const RunRecord& run) { return !run.label(key).empty(); })) return false;
  for (const RunRecord& run : runs)
    for (const Evaluation& evaluation : run.evaluations)
      if (std::count(evaluation.row_axes.begin(), evaluation.row_axes.end(), key)) return true;
  return false;
}

bool has_own_rows(const RunRecord& run) { return run.value("eval.per_seed") == "true"; }

int64_t rows_of_reference(const Observation& observation) { return has_own_rows(*observation.run) ? observation.run->info.seed : 0; }

bool same_numbers(const EvalSums& a, const EvalSums& b) {
  const double rounding = 1e-6 * std::abs(a.loss) + 1e-9 * static_cast<double>(a.scored);
  return a.rows == b.rows && a.scored == b.scored && std::abs(a.loss - b.loss) <= rounding;
}

std::vector<std::string> known_keys(const std::vector<RunRecord>& runs) {
  std::set<std::string> keys{"setting", "split", "task", "seed", "run_id", "status", "code_version", "tokens_per_row"};
  for (const RunRecord& run : runs) {
    for (const auto& [key, value] : run.info.values) keys.insert(key);
    for (const std::string& part : split(run.value("run.labels"), ',')) keys.insert(trim(part.substr(0, part.find(':'))));
    for (const Evaluation& evaluation : run.evaluations) {
      keys.insert(evaluation.axes.begin(), evaluation.axes.end());
      keys.insert(evaluation.row_axes.begin(), evaluation.row_axes.end());
    }
  }
  return {keys.begin(), keys.end()};
}

void sort_keys(std::vector<std::vector<std::string>>& keys) {
  // Rank of each text at each place: numbers by value before texts by first appearance.
  using Rank = std::pair<std::vector<double>, size_t>;
  std::vector<std::pair<std::vector<Rank>, std::vector<std::string>>> ranked;
  std::vector<std::vector<std::string>> seen;
  for (const std::vector<std::string>& key : keys) {
    std::vector<Rank> ranks;
    seen.resize(std::max(seen.size(), key.size()));
    for (size_t i = 0; i < key.size(); ++i) {
      auto found = std::find(seen[i].begin(), seen[i].end(), key[i]);
      if (found == seen[i].end()) found = seen[i].insert(found, key[i]);
      const auto value = numbers(key[i]);
      ranks.emplace_back(value.value_or(std::vector<double>{1e300}), value ? 0 : static_cast<size_t>(found - seen[i].begin()));
    }
    ranked.emplace_back(std::move(ranks), key);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = std::move(ranked[i].second);
}

}  // namespace mneme
