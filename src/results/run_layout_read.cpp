#include <algorithm>
#include <type_traits>

#include "mneme/errors.h"
#include "results/run_fields.h"
#include "results/run_layout.h"

namespace mneme {

namespace {

std::vector<TrainRow> read_train(const h5::Group& group) {
  const std::vector<h5::Column> columns = group.read_table("train");
  std::vector<TrainRow> rows;
  each_train_field([&](const char* name, auto member, const char*) { fill(rows, member, columns, name, group.where() + "/train"); });
  return rows;
}

void read_root(const h5::Group& group, RunRecord& run) {
  each_run_field(run, [&](const char* name, auto& value) {
    if (recorded_later(name) && !group.has_attribute(name)) return;
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) value = group.text(name);
    else value = group.integer(name);
  });
  const h5::Group config = group.group("config");
  for (const std::string& key : config.attributes()) run.info.values.emplace_back(key, config.text(key));
}

RunCost read_cost(const h5::Group& group) {
  const h5::Group cost = group.group("cost");
  RunCost result;
  each_cost_field([&](const char* name, auto member, const char*) {
    if constexpr (std::is_same_v<std::decay_t<decltype(result.*member)>, int64_t>) result.*member = cost.integer(name);
    else result.*member = cost.real(name);
  });
  return result;
}

void read_probes(const h5::Group& group, const std::string& prefix, std::vector<ProbeSeries>& probes) {
  for (const std::string& name : group.names()) {
    if (group.is_group(name)) {
      read_probes(group.group(name), prefix + name + "/", probes);
      continue;
    }
    const h5::Dataset table = group.dataset(name);
    const std::vector<h5::Column> columns = group.read_table(name);
    probes.push_back({prefix + name, table.text("units"), table.text("description"),
                      values_of<int64_t>(columns, "step", table.where()), values_of<double>(columns, "value", table.where())});
  }
}

/// EvalSums for every element of the arrays in a group, of an evaluation judged by `own`.
std::vector<EvalSums> read_sums(const h5::Group& group, const Metric& own) {
  std::vector<EvalSums> sums;
  for (const CountField& field : kCountFields) {
    if (field.later && !group.has(field.name)) continue;
    const std::vector<int64_t> values = group.dataset(field.name).read<int64_t>();
    sums.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) sums[i].*field.member = values[i];
  }
  const std::vector<double> loss = group.dataset(own.training_loss().name()).read<double>();
  for (size_t i = 0; i < std::min(loss.size(), sums.size()); ++i) sums[i].set_mean_loss(loss[i]);
  for (const Metric& metric : own.family()) {
    const std::vector<double> means = group.dataset(metric.name()).read<double>();
    for (size_t i = 0; i < std::min(means.size(), sums.size()); ++i) require_agreement(sums[i], metric, means[i], group.where());
  }
  return sums;
}

/// Entry (e, s) of the arrays [evaluation, setting]; nullptr where the evaluation does not have that setting.
using Cells = std::vector<EvalSetting*>;

void read_slices(const h5::Group& group, const Metric& own, const std::vector<std::string>& row_axes, const Cells& cells) {
  if (row_axes.empty() || !group.has(slice_group(row_axes))) return;
  const h5::Group slices = group.group(slice_group(row_axes));
  const std::vector<EvalSums> sums = read_sums(slices, own);
  std::vector<std::vector<int64_t>> axes;
  for (const std::string& axis : row_axes) axes.push_back(slices.dataset(axis).read<int64_t>());
  const size_t count = axes[0].size();
  for (size_t cell = 0; cell < cells.size(); ++cell)
    for (size_t i = 0; cells[cell] && i < count; ++i) {
      if (sums.at(cell * count + i).rows == 0) continue;
      std::vector<int64_t> key;
      for (const std::vector<int64_t>& axis : axes) key.push_back(axis.at(i));
      cells[cell]->slices[key] = sums[cell * count + i];
    }
}

void read_positions(const h5::Group& group, const Metric& own, std::vector<Evaluation>& evaluations, const Cells& cells) {
  if (!group.has("by_position")) return;
  const h5::Group positions = group.group("by_position");
  const std::vector<int64_t> edges = positions.dataset("edges").read<int64_t>();
  for (Evaluation& evaluation : evaluations) evaluation.position_edges = edges;
  const std::vector<EvalSums> sums = read_sums(positions, own);
  if (edges.size() < 2) throw StoreError(positions.where() + ": has no bins");
  const size_t bins = edges.size() - 1;
  for (size_t cell = 0; cell < cells.size(); ++cell)
    if (cells[cell])
      for (size_t bin = 0; bin < bins; ++bin) cells[cell]->positions.push_back(sums.at(cell * bins + bin));
}

void read_references(const h5::Group& group, const Metric& own, const Cells& cells) {
  if (!group.has("references")) return;
  const h5::Group references = group.group("references");
  for (const std::string& name : references.names()) {
    const std::vector<EvalSums> sums = read_sums(references.group(name), own);
    for (size_t cell = 0; cell < cells.size(); ++cell)
      if (cells[cell] && sums.at(cell).rows > 0) cells[cell]->references[name] = sums[cell];
  }
}

std::vector<Evaluation> read_grid(const h5::Group& group, const std::string& task, const std::string& split) {
  Evaluation common;
  common.task = task;
  common.split = split;
  common.metric = metric_named(group.text("metric"), group.where());
  common.chance = group.real("chance");
  common.axes = group.dataset("axes").read_text();
  common.row_axes = group.dataset("row_axes").read_text();
  for (const std::string& axis : common.row_axes)
    if (group.has(names_of(axis))) common.row_names[axis] = group.dataset(names_of(axis)).read_text();

  const std::vector<int64_t> steps = group.dataset("step").read<int64_t>();
  const std::vector<int64_t> lengths = group.dataset("tokens_per_row").read<int64_t>();
  std::vector<std::vector<int64_t>> points;
  for (const std::string& axis : common.axes) points.push_back(group.dataset(axis).read<int64_t>());
  const std::vector<EvalSums> sums = read_sums(group, common.metric);
  std::vector<std::vector<double>> measures;
  for (const MeasureField& field : kMeasureFields) measures.push_back(group.dataset(field.name).read<double>());

  if (sums.size() != steps.size() * lengths.size()) throw StoreError(group.where() + ": the arrays differ in length");
  std::vector<Evaluation> evaluations(steps.size(), common);
  Cells cells(steps.size() * lengths.size(), nullptr);
  for (size_t e = 0; e < steps.size(); ++e) {
    evaluations[e].step = steps[e];
    evaluations[e].settings.reserve(lengths.size());  // cells point into it
    for (size_t s = 0; s < lengths.size(); ++s) {
      const size_t cell = e * lengths.size() + s;
      if (sums.at(cell).rows == 0) continue;
      EvalSetting entry;
      for (const std::vector<int64_t>& axis : points) entry.setting.push_back(axis.at(s));
      entry.length = lengths[s];
      entry.sums = sums[cell];
      for (size_t i = 0; i < measures.size(); ++i) entry.*kMeasureFields[i].member = measures[i].at(cell);
      evaluations[e].settings.push_back(std::move(entry));
      cells[cell] = &evaluations[e].settings.back();
    }
  }
  read_slices(group, common.metric, common.row_axes, cells);
  read_positions(group, common.metric, evaluations, cells);
  read_references(group, common.metric, cells);
  return evaluations;
}

std::vector<Evaluation> read_evaluations(const h5::Group& group) {
  std::vector<Evaluation> all;
  const h5::Group eval = group.group("eval");
  for (const std::string& task : eval.names())
    for (const std::string& split : eval.group(task).names()) {
      std::vector<Evaluation> some = read_grid(eval.group(task + "/" + split), task, split);
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
  std::stable_sort(all.begin(), all.end(), [](const Evaluation& a, const Evaluation& b) { return a.step < b.step; });
  return all;
}

}  // namespace

RunRecord read_record(const h5::Group& group) {
  RunRecord run;
  read_root(group, run);
  run.train = read_train(group);
  run.evaluations = read_evaluations(group);
  read_probes(group.group("probe"), "", run.probes);
  run.cost = read_cost(group);
  return run;
}

}  // namespace mneme
