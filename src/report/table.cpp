#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/text.h"
#include "mneme/errors.h"
#include "report/observation.h"
#include "report/table_compare.h"
#include "report/table_costs.h"
#include "report/table_numbers.h"
#include "report/table_select.h"
#include "results/run_file.h"

namespace mneme {

namespace {

using Keys = std::vector<std::string>;

class TableMaker {
 public:
  TableMaker(const std::vector<RunRecord>& runs, const TableOptions& options) : runs_(runs) { table_.options = options; }

  Table make() {
    selected_ = select_runs(runs_, table_.options, table_.notes);
    observe();
    make_columns();
    make_rows();
    compare_rows(table_);
    table_.machine = machine_text(selected_, table_.notes);
    for (const RunRecord* run : selected_) {
      table_.run_ids.push_back(run->info.run_id);
      if (run->status != "done" || !run->error.empty())
        table_.notes.push_back(run->info.run_id + ": " + run->status + (run->error.empty() ? "" : ": " + run->error));
    }
    return std::move(table_);
  }

 private:
  void observe() {
    Keys row_axes;
    const auto note = [&](const std::string& key) {
      if (is_row_axis(runs_, key)) row_axes.push_back(key);
    };
    for (const Keys* keys : {&table_.options.rows, &table_.options.columns}) std::for_each(keys->begin(), keys->end(), note);
    for (const auto& [key, value] : table_.options.where) note(key);
    std::map<std::string, std::set<Keys>> there;  // of each condition's key
    for (const RunRecord* run : selected_)
      for (Observation& observation : observations(*run, table_.options.split, row_axes)) {
        for (const auto& [key, value] : table_.options.where) there[key].insert({key_of(observation, key)});
        if (matches(observation, table_.options.where)) observations_.push_back(std::move(observation));
      }
    if (!observations_.empty() || there.empty()) return;
    Keys conditions, all;
    for (const auto& [key, value] : table_.options.where) {
      conditions.push_back(key + "=" + value);
      std::vector<Keys> values(there[key].begin(), there[key].end());
      sort_keys(values);
      Keys words;
      for (const Keys& one : values) words.push_back(one[0]);
      all.push_back(key + " is " + join(words, ", "));
    }
    throw UsageError("nothing that was measured is left by --where " + join(conditions, ", ") + ": " + join(all, "; "));
  }

  static Keys keys_of(const Observation& observation, const Keys& names) {
    Keys keys;
    for (const std::string& name : names) keys.push_back(key_of(observation, name));
    return keys;
  }

  void make_columns() {
    std::vector<Keys> keys;
    std::map<Keys, std::set<std::string>> tasks;
    std::map<Keys, Metric> own_metric;
    std::set<std::string> axes;
    for (const Observation& observation : observations_) {
      const Keys key = keys_of(observation, table_.options.columns);
      if (!tasks.count(key)) keys.push_back(key);
      tasks[key].insert(observation.run->value("task.kind"));
      const Metric metric = observation.evaluation->metric;
      const Metric other = own_metric.emplace(key, metric).first->second;
      if (metric != other)
        throw UsageError("column " + join(key, " ") + " mixes tasks judged by " + other.name() + " and by " + metric.name() +
                         ": add task to the columns, choose one by --where task=…, or name the metric");
      axes.insert(join(observation.evaluation->axes, " x "));
    }
    if (axes.size() == 1) table_.axes = *axes.begin();
    sort_keys(keys);
    for (const Keys& key : keys)
      for (const std::string& name : table_.options.metrics) {
        const Metric own = own_metric.at(key), metric = name == "metric" ? own : *Metric::named(name);
        if (const std::vector<Metric>& there = own.family(); !std::count(there.begin(), there.end(), metric)) {
          std::vector<std::string> names;
          for (const Metric& known : there) names.emplace_back(known.name());
          throw UsageError("column " + join(key, " ") + ": its task has no metric '" + name + "'; there are: " + join(names, ", "));
        }
        table_.columns.push_back({key, metric.name(), metric.shown_unit(), metric});
        column_tasks_.push_back(tasks[key]);
      }
    table_.cost_columns = cost_columns(table_.options, selected_);
  }

  void make_rows() {
    std::vector<Keys> keys;
    std::set<Keys> seen;
    std::vector<std::string> without;  // run ids
    std::vector<std::pair<Keys, const RunRecord*>> members;  // every run in every row it belongs to
    const auto add = [&](const Keys& key, const RunRecord* run) {
      if (std::count(key.begin(), key.end(), "")) return;
      if (seen.insert(key).second) keys.push_back(key);
      if (!std::count(members.begin(), members.end(), std::pair(key, run))) members.emplace_back(key, run);
    };
    const Keys& names = table_.options.rows;
    const bool of_runs = std::none_of(names.begin(), names.end(), [&](const std::string& name) { return is_axis(runs_, name); });
    for (const RunRecord* run : selected_) {
      Keys key;
      for (const std::string& name : names) key.push_back(run_key(*run, name));
      if (of_runs && std::count(key.begin(), key.end(), "")) without.push_back(run->info.run_id);
      add(key, run);  // also a run that has no evaluation
    }
    if (!without.empty()) {
      const std::string what = fmt::format("{} of {} runs have no {}", without.size(), selected_.size(), join(names, " or no "));
      if (keys.empty()) throw UsageError(what + ": name other --rows");
      table_.notes.push_back(fmt::format("{} and are left out: {}", what, join(without, ", ")));
    }
    for (const Observation& observation : observations_)
      if (observation.reference.empty()) add(keys_of(observation, table_.options.rows), observation.run);
    sort_keys(keys);
    for (const Keys& key : keys) {
      std::vector<const RunRecord*> runs;
      for (const auto& [row, run] : members)
        if (row == key) runs.push_back(run);
      table_.rows.push_back(make_row(key, std::move(runs)));
    }
    make_references();
  }

  /// The row of a reference: its name at the first key that is of the model, "–" at further ones; none where no key is.
  Keys reference_row(const Observation& observation) const {
    Keys keys;
    bool named = false;
    for (const std::string& name : table_.options.rows) {
      const bool of_model = is_of_model(observation, name);
      keys.push_back(!of_model ? key_of(observation, name) : named ? "–" : observation.reference);
      named |= of_model;
    }
    return named ? keys : Keys();
  }

  /// Rows below those of runs. All runs of one seed have the same numbers in a cell, and without rows of their own those of all seeds.
  void make_references() {
    std::map<Keys, std::map<Keys, std::map<int64_t, std::vector<const Observation*>>>> members;  // row, column, seed
    std::vector<Keys> rows;
    for (const Observation& observation : observations_) {
      if (observation.reference.empty()) continue;
      const Keys row = reference_row(observation);
      if (row.empty()) continue;
      if (!members.count(row)) rows.push_back(row);
      members[row][keys_of(observation, table_.options.columns)][rows_of_reference(observation)].push_back(&observation);
    }
    sort_keys(rows);
    for (const Keys& keys : rows) {
      TableRow row{keys, {}, {}, true};
      for (const TableColumn& column : table_.columns) row.cells.push_back(reference_cell(keys, column, members[keys][column.keys]));
      row.costs.resize(table_.cost_columns.size());
      table_.rows.push_back(std::move(row));
    }
  }

  TableCell reference_cell(const Keys& row, const TableColumn& column, const std::map<int64_t, std::vector<const Observation*>>& by_seed) const {
    TableCell cell;
    for (const auto& [seed, all] : by_seed) {
      std::map<Setting, const Observation*> by_setting;
      std::vector<double> values;
      for (const Observation* observation : all) {
        const auto [first, fresh] = by_setting.emplace(observation->setting->setting, observation);
        if (!fresh && !same_numbers(first->second->sums, observation->sums))
          throw UsageError("the reference " + join(row, ", ") + " differs between " + first->second->run->info.run_id + " and " +
                           observation->run->info.run_id + ", which were asked other rows: add a key of sections task or eval to --rows or " +
                           "--columns, or choose by --where");
        if (!fresh) continue;
        if (values.empty() || observation->sums.rows < cell.sums.back().rows) {
          if (!values.empty()) cell.sums.pop_back();
          cell.sums.push_back(observation->sums);
        }
        values.push_back(column.metric->value(observation->sums));
      }
      cell.own_rows = has_own_rows(*all.front()->run);
      if (!std::isfinite(mean(values))) {
        ++cell.absent["not finite"];
        cell.sums.pop_back();
        continue;
      }
      cell.values.push_back(mean(values));
      cell.seeds.push_back(seed);
      cell.averaged |= values.size() > 1;
    }
    return cell;
  }

  TableRow make_row(const Keys& key, std::vector<const RunRecord*> runs) {
    std::stable_sort(runs.begin(), runs.end(), [](auto a, auto b) { return a->info.seed < b->info.seed; });
    TableRow row{key, {}, {}};
    for (size_t i = 0; i < table_.columns.size(); ++i) row.cells.push_back(make_cell(key, i, runs));
    row.costs = cost_cells(table_.cost_columns, table_.options, runs);
    return row;
  }

  TableCell make_cell(const Keys& row, size_t index, const std::vector<const RunRecord*>& runs) const {
    const TableColumn& column = table_.columns[index];
    TableCell cell;
    std::map<int64_t, const RunRecord*> by_seed;
    const RunRecord* first = nullptr;
    for (const RunRecord* run : runs) {
      if (!belongs(*run, index)) continue;
      const auto [same, fresh] = by_seed.emplace(run->info.seed, run);
      if (!fresh) refuse_pooling(row, *same->second, *run, table_.options);
      if (first) refuse_pooling(row, *first, *run, table_.options);
      first = run;
      std::vector<double> values;
      EvalSums sums;  // of the observation with the fewest rows
      for (const Observation& observation : observations_)
        if (observation.run == run && observation.reference.empty() && keys_of(observation, table_.options.rows) == row &&
            keys_of(observation, table_.options.columns) == column.keys) {
          if (values.empty() || observation.sums.rows < sums.rows) sums = observation.sums;
          values.push_back(column.metric->value(observation.sums));
        }
      const bool finite = std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
      if (run->status != "done") {
        ++cell.absent[run->status];
      } else if (values.empty() || !finite) {
        ++cell.absent[values.empty() ? "missing" : "not finite"];
      } else {
        cell.values.push_back(mean(values));
        cell.seeds.push_back(run->info.seed);
        cell.sums.push_back(sums);
        cell.averaged |= values.size() > 1;
        cell.own_rows = has_own_rows(*run) && (cell.values.size() == 1 || cell.own_rows);
      }
    }
    return cell;
  }

  /// Whether the run should have a value in the column: its own keys agree, and the column holds its task.
  bool belongs(const RunRecord& run, size_t index) const {
    for (size_t i = 0; i < table_.options.columns.size(); ++i) {
      const std::string own = run_key(run, table_.options.columns[i]);
      if (!own.empty() && own != table_.columns[index].keys[i]) return false;
    }
    return column_tasks_[index].count(run.value("task.kind")) > 0;
  }

  const std::vector<RunRecord>& runs_;
  std::vector<const RunRecord*> selected_;
  std::vector<Observation> observations_;
  std::vector<std::set<std::string>> column_tasks_;
  Table table_;
};

}  // namespace

int64_t TableCell::runs() const {
  int64_t count = static_cast<int64_t>(values.size());
  for (const auto& [reason, absences] : absent) count += absences;
  return count;
}

Table make_table(const std::vector<RunRecord>& runs, const TableOptions& options) { return TableMaker(runs, options).make(); }

void write_table_h5(const std::string& path, const std::vector<RunRecord>& runs, const Table& table) {
  constexpr size_t kCurvePoints = 100;
  std::vector<std::string> notes;
  std::vector<RunRecord> kept;
  for (const RunRecord* run : select_runs(runs, table.options, notes)) {
    RunRecord thin = *run;
    const size_t stride = (thin.train.size() + kCurvePoints - 1) / kCurvePoints;
    for (size_t i = 0; stride > 1 && i < thin.train.size(); ++i)
      if (i % stride == stride - 1 || i + 1 == thin.train.size()) thin.train[i / stride] = thin.train[i];
    if (stride > 1) thin.train.resize((thin.train.size() + stride - 1) / stride);
    kept.push_back(std::move(thin));
  }
  write_runs(path, kept, [&](h5::Group& file) { write_numbers(file, table); });
}

}  // namespace mneme
