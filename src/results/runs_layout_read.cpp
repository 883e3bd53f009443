#include <algorithm>
#include <map>
#include <type_traits>

#include "mneme/errors.h"
#include "results/run_fields.h"
#include "results/run_layout.h"

namespace mneme {

namespace {

/// A table of the file with its columns at hand; without rows where the file does not have it.
class StoredTable {
 public:
  StoredTable(const h5::Group& group, const std::string& name) : where_(group.where() + "/" + name) {
    if (!group.has(name)) return;
    columns_ = group.read_table(name);
    rows_ = static_cast<size_t>(group.dataset(name).rows());
  }

  size_t rows() const { return rows_; }
  const std::string& where() const { return where_; }
  bool has(const std::string& name) const {
    return std::any_of(columns_.begin(), columns_.end(), [&](const h5::Column& column) { return column.name == name; });
  }
  int64_t integer(const std::string& name, size_t row) const { return values_of<int64_t>(columns_, name, where_)[row]; }
  double real(const std::string& name, size_t row) const { return values_of<double>(columns_, name, where_)[row]; }
  template <class T>
  void get(const std::string& name, size_t row, T& value) const {
    value = values_of<T>(columns_, name, where_)[row];
  }

  /// The run a row belongs to.
  RunRecord& owner(std::vector<RunRecord>& runs, size_t row) const {
    const int64_t run = integer("run", row);
    if (run < 0 || run >= static_cast<int64_t>(runs.size()))
      throw StoreError(where_ + ": row " + std::to_string(row) + " belongs to run " + std::to_string(run) + " of " +
                       std::to_string(runs.size()));
    return runs[static_cast<size_t>(run)];
  }

 private:
  std::string where_;
  std::vector<h5::Column> columns_;
  size_t rows_ = 0;
};

template <class T>
const T& at(const std::vector<T>& values, size_t index, const h5::Group& group) {
  if (index >= values.size()) throw StoreError(group.where() + ": the arrays differ in length");
  return values[index];
}

void read_runs_group(const h5::Group& group, std::vector<RunRecord>& runs) {
  runs.resize(group.dataset("run_id").read_text().size());
  std::map<std::string, std::vector<std::string>> texts;
  std::map<std::string, std::vector<int64_t>> numbers;
  for (size_t i = 0; i < runs.size(); ++i)
    each_run_field(runs[i], [&](const std::string& name, auto& value) {
      if (recorded_later(name) && !group.has(name)) return;
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
        if (!texts.count(name)) texts[name] = group.dataset(name).read_text();
        value = at(texts[name], i, group);
      } else {
        if (!numbers.count(name)) numbers[name] = group.dataset(name).read<int64_t>();
        value = at(numbers[name], i, group);
      }
    });
}

void read_config(const h5::Group& group, std::vector<RunRecord>& runs) {
  std::map<std::string, std::vector<std::string>> by_key;
  for (const std::string& key : group.attributes()) by_key[key] = std::vector<std::string>(runs.size(), group.text(key));
  for (const std::string& key : group.names()) by_key[key] = group.dataset(key).read_text();
  for (size_t i = 0; i < runs.size(); ++i)
    for (const auto& [key, values] : by_key) runs[i].info.values.emplace_back(key, at(values, i, group));
}

void read_training(const h5::Group& file, std::vector<RunRecord>& runs) {
  const StoredTable cost(file, "cost"), train(file, "train");
  for (size_t row = 0; row < cost.rows(); ++row) {
    RunCost& to = cost.owner(runs, row).cost;
    each_cost_field([&](const char* name, auto member, const char*) { cost.get(name, row, to.*member); });
  }
  for (size_t row = 0; row < train.rows(); ++row) {
    TrainRow& to = train.owner(runs, row).train.emplace_back();
    each_train_field([&](const char* name, auto member, const char*) { train.get(name, row, to.*member); });
  }
}

void read_probes(const h5::Group& file, std::vector<RunRecord>& runs) {
  if (!file.has("probe")) return;
  const h5::Group group = file.group("probe");
  const std::vector<std::string> names = group.dataset("name").read_text(), units = group.dataset("units").read_text(),
                                 helps = group.dataset("description").read_text();
  const StoredTable table(group, "values");
  for (size_t row = 0; row < table.rows(); ++row) {
    std::vector<ProbeSeries>& probes = table.owner(runs, row).probes;
    const size_t index = static_cast<size_t>(table.integer("series", row));
    const std::string& name = at(names, index, group);
    auto series = std::find_if(probes.begin(), probes.end(), [&](const ProbeSeries& probe) { return probe.name == name; });
    if (series == probes.end())
      series = probes.insert(probes.end(), {name, at(units, index, group), at(helps, index, group), {}, {}});
    series->steps.push_back(table.integer("step", row));
    series->values.push_back(table.real("value", row));
  }
}

EvalSums read_sums(const StoredTable& table, size_t row, const Metric& own) {
  EvalSums sums;
  for (const CountField& field : kCountFields)
    if (!field.later || table.has(field.name)) table.get(field.name, row, sums.*field.member);
  sums.set_mean_loss(table.real(own.training_loss().name(), row));
  for (const Metric& metric : own.family()) require_agreement(sums, metric, table.real(metric.name(), row), table.where());
  return sums;
}

/// The evaluation a row belongs to: the one of its run and step; made from `head` where it is the first row of it.
Evaluation& evaluation_of(std::vector<RunRecord>& runs, const Evaluation& head, const StoredTable& table, size_t row) {
  const int64_t step = table.integer("step", row);
  std::vector<Evaluation>& all = table.owner(runs, row).evaluations;
  for (Evaluation& known : all)
    if (known.step == step && known.task == head.task && known.split == head.split) return known;
  Evaluation& fresh = all.emplace_back(head);
  fresh.step = step;
  return fresh;
}

/// The entry a row of slices or positions belongs to.
EvalSetting& entry_of(Evaluation& evaluation, const StoredTable& table, size_t row) {
  Setting setting;
  for (const std::string& axis : evaluation.axes) setting.push_back(table.integer(axis, row));
  for (EvalSetting& entry : evaluation.settings)
    if (entry.setting == setting) return entry;
  EvalSetting& fresh = evaluation.settings.emplace_back();
  fresh.setting = std::move(setting);
  return fresh;
}

void read_block(const h5::Group& group, std::vector<RunRecord>& runs) {
  Evaluation head;
  head.task = group.text("task");
  head.split = group.text("split");
  head.metric = metric_named(group.text("metric"), group.where());
  head.chance = group.real("chance");
  head.axes = group.dataset("axes").read_text();
  head.row_axes = group.dataset("row_axes").read_text();
  for (const std::string& axis : head.row_axes)
    if (group.has(names_of(axis))) head.row_names[axis] = group.dataset(names_of(axis)).read_text();
  const StoredTable settings(group, "settings"), slices(group, "slices"), positions(group, "positions");
  for (size_t row = 0; row < settings.rows(); ++row) {
    EvalSetting& entry = entry_of(evaluation_of(runs, head, settings, row), settings, row);
    entry.length = settings.integer("tokens_per_row", row);
    entry.sums = read_sums(settings, row, head.metric);
    for (const MeasureField& field : kMeasureFields) settings.get(field.name, row, entry.*field.member);
  }
  for (size_t row = 0; row < slices.rows(); ++row) {
    std::vector<int64_t> key;
    for (const std::string& axis : head.row_axes) key.push_back(slices.integer(axis, row));
    entry_of(evaluation_of(runs, head, slices, row), slices, row).slices[key] = read_sums(slices, row, head.metric);
  }
  for (size_t row = 0; row < positions.rows(); ++row) {
    Evaluation& evaluation = evaluation_of(runs, head, positions, row);
    entry_of(evaluation, positions, row).positions.push_back(read_sums(positions, row, head.metric));
    std::vector<int64_t>& edges = evaluation.position_edges;
    const int64_t end = positions.integer("end", row);
    if (edges.empty()) edges.push_back(positions.integer("first", row));
    if (end > edges.back()) edges.push_back(end);
  }
  const StoredTable references(group, "references");
  const std::vector<std::string> names = references.rows() > 0 ? group.dataset("reference_names").read_text() : std::vector<std::string>();
  for (size_t row = 0; row < references.rows(); ++row) {
    const std::string& name = at(names, static_cast<size_t>(references.integer("reference", row)), group);
    entry_of(evaluation_of(runs, head, references, row), references, row).references[name] = read_sums(references, row, head.metric);
  }
}

}  // namespace

std::vector<RunRecord> read_run_tables(const h5::Group& file) {
  std::vector<RunRecord> runs;
  read_runs_group(file.group("runs"), runs);
  read_config(file.group("config"), runs);
  read_training(file, runs);
  const h5::Group eval = file.group("eval");
  for (const std::string& task : eval.names())
    for (const std::string& block : eval.group(task).names()) read_block(eval.group(task + "/" + block), runs);
  read_probes(file, runs);
  for (RunRecord& run : runs)
    std::stable_sort(run.evaluations.begin(), run.evaluations.end(),
                     [](const Evaluation& a, const Evaluation& b) { return a.step < b.step; });
  return runs;
}

}  // namespace mneme
