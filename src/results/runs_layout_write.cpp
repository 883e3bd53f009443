#include <algorithm>
#include <map>
#include <set>
#include <type_traits>

#include "results/run_fields.h"
#include "results/run_layout.h"

namespace mneme {

namespace {

/// A table filled value by value, row after row; columns come in the order they are first given.
class LongTable {
 public:
  template <class T>
  void add(const std::string& name, T value) {
    h5::Column* column = nullptr;
    for (h5::Column& known : columns_)
      if (known.name == name) column = &known;
    if (!column) column = &columns_.emplace_back(h5::Column{name, std::vector<T>()});
    std::get<std::vector<T>>(column->values).push_back(value);
  }

  bool empty() const { return columns_.empty(); }

  void write(h5::Group& group, const std::string& name, const std::string& description, const std::string& units) const {
    h5::Dataset table = group.write_table(name, columns_, h5::Storage::compressed);
    table.set("description", description);
    table.set("units", units);
  }

 private:
  std::vector<h5::Column> columns_;
};

void write_runs_group(h5::Group& file, const std::vector<RunRecord>& runs) {
  std::map<std::string, std::vector<std::string>> texts;
  std::map<std::string, std::vector<int64_t>> numbers;
  for (const RunRecord& run : runs)
    each_run_field(run, [&](const char* name, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) texts[name].push_back(value);
      else numbers[name].push_back(value);
    });
  h5::Group group = file.make_group("runs");
  for (const auto& [name, values] : texts) group.write_text(name, values);
  for (const auto& [name, values] : numbers) group.write(name, values);
}

/// What all runs share is an attribute; what differs, an array over the runs.
void write_config(h5::Group& file, const std::vector<RunRecord>& runs) {
  std::map<std::string, std::vector<std::string>> by_key;
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& [key, value] : runs[i].info.values) by_key.try_emplace(key, runs.size()).first->second[i] = value;
  h5::Group group = file.make_group("config");
  for (const auto& [key, values] : by_key) {
    const bool shared = std::equal(values.begin() + 1, values.end(), values.begin());
    if (shared) group.set(key, values[0]);
    else group.write_text(key, values);
  }
}

void write_training(h5::Group& file, const std::vector<RunRecord>& runs) {
  LongTable train, cost;
  std::string train_units = "run: place in /runs", cost_units = train_units;
  std::set<std::string> losses;
  for (const RunRecord& run : runs) losses.insert(training_unit(run.training_metric()));
  const std::string loss_unit = losses.size() == 1 ? *losses.begin() : "of the run's training_loss per scored position";
  each_train_field([&](const char* name, auto, const char* unit) { train_units += std::string(", ") + name + ": " + (*unit ? unit : loss_unit); });
  each_cost_field([&](const char* name, auto, const char* unit) { cost_units += std::string(", ") + name + ": " + unit; });
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t run = static_cast<int64_t>(i);
    cost.add("run", run);
    each_cost_field([&](const char* name, auto member, const char*) { cost.add(name, runs[i].cost.*member); });
    for (const TrainRow& row : runs[i].train) {
      train.add("run", run);
      each_train_field([&](const char* name, auto member, const char*) { train.add(name, row.*member); });
    }
  }
  if (!runs.empty()) cost.write(file, "cost", "one row per run", cost_units);
  if (!train.empty()) train.write(file, "train", "one row per log interval of a run", train_units);
}

void write_probes(h5::Group& file, const std::vector<RunRecord>& runs) {
  std::vector<std::string> names, units, helps;
  LongTable table;
  for (size_t i = 0; i < runs.size(); ++i)
    for (const ProbeSeries& probe : runs[i].probes) {
      size_t series = 0;
      while (series < names.size() && (names[series] != probe.name || units[series] != probe.unit)) ++series;
      if (series == names.size()) {
        names.push_back(probe.name);
        units.push_back(probe.unit);
        helps.push_back(probe.help);
      }
      for (size_t k = 0; k < probe.steps.size(); ++k) {
        table.add("run", static_cast<int64_t>(i));
        table.add("series", static_cast<int64_t>(series));
        table.add("step", probe.steps[k]);
        table.add("value", probe.values[k]);
      }
    }
  if (table.empty()) return;
  h5::Group group = file.make_group("probe");
  group.write_text("name", names);
  group.write_text("units", units);
  group.write_text("description", helps);
  table.write(group, "values", "one row per evaluation, series and run; series: place in name, units, description",
              "value: that of its series, others: 1");
}

std::string eval_units(const Metric& own) {
  std::string units;
  for (const Metric& metric : own.family()) units += std::string(metric.name()) + ": " + metric.unit() + ", ";
  for (const MeasureField& field : kMeasureFields) units += std::string(field.name) + ": " + field.unit + ", ";
  return units + "tokens_per_row, first, end: tokens, others: 1";
}

/// Evaluations that share one set of tables, with the place of their run.
using Members = std::vector<std::pair<int64_t, const Evaluation*>>;

bool share_tables(const Evaluation& a, const Evaluation& b) {
  return a.task == b.task && a.split == b.split && a.metric == b.metric && a.chance == b.chance && a.axes == b.axes &&
         a.row_axes == b.row_axes && a.row_names == b.row_names;
}

void add_sums(LongTable& table, const Metric& own, const EvalSums& sums) {
  for (const CountField& field : kCountFields) table.add(field.name, sums.*field.member);
  for (const Metric& metric : own.family()) table.add(metric.name(), metric.value(sums));
}

void write_members(h5::Group& group, const Members& members) {
  const Evaluation& head = *members.front().second;
  group.set("task", head.task);
  group.set("split", head.split);
  group.set("metric", head.metric.name());
  group.set("chance", head.chance);
  group.write_text("axes", head.axes);
  group.write_text("row_axes", head.row_axes);
  for (const auto& [axis, names] : head.row_names) group.write_text(names_of(axis), names);
  LongTable settings, slices, positions, references;
  std::vector<std::string> names;  // of references
  for (const auto& [run, evaluation] : members)
    for (const EvalSetting& entry : evaluation->settings) {
      const auto begin_row = [&, &run = run, &evaluation = evaluation](LongTable& table) {  // named for Clang 14
        table.add("run", run);
        table.add("step", evaluation->step);
        for (size_t axis = 0; axis < head.axes.size(); ++axis) table.add(head.axes[axis], entry.setting.at(axis));
      };
      begin_row(settings);
      settings.add("tokens_per_row", entry.length);
      add_sums(settings, head.metric, entry.sums);
      for (const MeasureField& field : kMeasureFields) settings.add(field.name, entry.*field.member);
      for (const auto& [key, sums] : entry.slices) {
        begin_row(slices);
        for (size_t axis = 0; axis < head.row_axes.size(); ++axis) slices.add(head.row_axes[axis], key.at(axis));
        add_sums(slices, head.metric, sums);
      }
      for (size_t bin = 0; bin < entry.positions.size(); ++bin) {
        begin_row(positions);
        positions.add("first", evaluation->position_edges.at(bin));
        positions.add("end", evaluation->position_edges.at(bin + 1));
        add_sums(positions, head.metric, entry.positions[bin]);
      }
      for (const auto& [name, sums] : entry.references) {
        if (!std::count(names.begin(), names.end(), name)) names.push_back(name);
        begin_row(references);
        references.add("reference", static_cast<int64_t>(std::find(names.begin(), names.end(), name) - names.begin()));
        add_sums(references, head.metric, sums);
      }
    }
  if (!settings.empty()) settings.write(group, "settings", "one row per run, evaluation and setting", eval_units(head.metric));
  if (!slices.empty()) slices.write(group, "slices", "the rows of a setting by their values on the row axes", eval_units(head.metric));
  if (!positions.empty()) positions.write(group, "positions", "the tokens of a setting at positions first to end - 1", eval_units(head.metric));
  if (references.empty()) return;
  group.write_text("reference_names", names);
  references.write(group, "references", "what the task's references say on the rows of a setting; reference: place in reference_names",
                   eval_units(head.metric));
}

void write_evaluations(h5::Group& file, const std::vector<RunRecord>& runs) {
  std::vector<Members> blocks;
  for (size_t i = 0; i < runs.size(); ++i)
    for (const Evaluation& evaluation : runs[i].evaluations) {
      auto block = std::find_if(blocks.begin(), blocks.end(),
                                [&](const Members& members) { return share_tables(*members.front().second, evaluation); });
      if (block == blocks.end()) block = blocks.insert(blocks.end(), Members());
      block->emplace_back(static_cast<int64_t>(i), &evaluation);
    }
  h5::Group eval = file.make_group("eval");
  std::map<std::string, int> taken;
  for (const Members& members : blocks) {
    const Evaluation& head = *members.front().second;
    const std::string name = head.task + "/" + head.split;
    const int before = taken[name]++;
    h5::Group group = eval.make_group(before ? name + "-" + std::to_string(before + 1) : name);
    write_members(group, members);
  }
}

}  // namespace

void write_run_tables(h5::Group& file, const std::vector<RunRecord>& runs) {
  file.set("schema", "mneme.runs");
  file.set("schema_version", kRunsSchema);
  write_runs_group(file, runs);
  write_config(file, runs);
  write_training(file, runs);
  write_evaluations(file, runs);
  write_probes(file, runs);
}

}  // namespace mneme
