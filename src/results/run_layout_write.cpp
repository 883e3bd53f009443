// /eval/<task>/<split>/: arrays over [evaluation, setting] and, below by_…/, [evaluation, setting, value].
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <type_traits>

#include "results/run_fields.h"
#include "results/run_layout.h"

namespace mneme {

namespace {

void write_root(h5::Group& group, const RunRecord& run) {
  group.set("schema", "mneme.run");
  group.set("schema_version", kRunSchema);
  each_run_field(run, [&](const char* name, const auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) group.set(name, value);
    else group.set(name, int64_t{value});
  });
  h5::Group config = group.make_group("config");
  for (const auto& [key, value] : run.info.values) config.set(key, value);
}

void write_train(h5::Group& group, const std::vector<TrainRow>& rows, const Metric& loss) {
  std::vector<h5::Column> columns;
  std::string units;
  each_train_field([&](const char* name, auto member, const char* unit) {
    columns.push_back(column_of(name, rows, member));
    units += (units.empty() ? "" : ", ") + std::string(name) + ": " + (*unit ? unit : training_unit(loss));
  });
  h5::Dataset table = group.write_table("train", columns);
  table.set("description", "one row per log interval");
  table.set("units", units);
}

void write_cost(h5::Group& group, const RunCost& cost) {
  h5::Group out = group.make_group("cost");
  each_cost_field([&](const char* name, auto member, const char*) { out.set(name, cost.*member); });
}

void write_probes(h5::Group& group, const std::vector<ProbeSeries>& probes) {
  h5::Group out = group.make_group("probe");
  for (const ProbeSeries& probe : probes) {
    h5::Dataset table = out.write_table(probe.name, {{"step", probe.steps}, {"value", probe.values}});
    table.set("units", probe.unit);
    table.set("description", probe.help);
  }
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Evaluations = std::vector<const Evaluation*>;

/// Evaluations of one task on one split, and every setting any of them has: the two common dimensions of the arrays.
struct Grid {
  Evaluations evaluations;
  std::vector<Setting> settings;
  std::vector<int64_t> lengths;  // tokens in a row, by setting

  const EvalSetting* at(size_t evaluation, size_t setting) const {
    for (const EvalSetting& entry : evaluations[evaluation]->settings)
      if (entry.setting == settings[setting]) return &entry;
    return nullptr;
  }
};

Grid make_grid(const Evaluations& evaluations) {
  Grid grid{evaluations, {}, {}};
  std::set<Setting> seen;
  for (const Evaluation* evaluation : evaluations)
    for (const EvalSetting& entry : evaluation->settings)
      if (seen.insert(entry.setting).second) {
        grid.settings.push_back(entry.setting);
        grid.lengths.push_back(entry.length);
      }
  return grid;
}

/// A 1-D dataset that labels one dimension of others.
struct Scale {
  int64_t axis;
  std::string name;
  h5::Dataset* values;
};

void describe(h5::Dataset& dataset, const std::string& unit, const std::string& description, std::vector<Scale>& scales,
              const std::vector<std::string>& axes) {
  dataset.set("units", unit);
  dataset.set("description", description);
  for (Scale& scale : scales) dataset.attach_scale(scale.axis, *scale.values, scale.name);
  for (size_t axis = 0; axis < axes.size(); ++axis) dataset.name_axis(static_cast<int64_t>(axis), axes[axis]);
}

/// Counts, and the means made of them, for every element of `shape`.
void write_sums(h5::Group& group, const Metric& own, const h5::Shape& shape, const std::vector<EvalSums>& sums, std::vector<Scale>& scales,
                const std::vector<std::string>& axes) {
  for (const CountField& field : kCountFields) {
    std::vector<int64_t> values;
    for (const EvalSums& entry : sums) values.push_back(entry.*field.member);
    h5::Dataset dataset = group.write(field.name, shape, values);
    describe(dataset, "1", field.description, scales, axes);
  }
  for (const Metric& metric : own.family()) {
    std::vector<double> values;
    for (const EvalSums& entry : sums) values.push_back(metric.value(entry));
    h5::Dataset dataset = group.write(metric.name(), shape, values);
    describe(dataset, metric.unit(), metric.description(), scales, axes);
  }
}

h5::Dataset write_scale(h5::Group& group, const std::string& name, const std::vector<int64_t>& values, const char* unit,
                        const std::string& description) {
  h5::Dataset scale = group.write(name, values);
  scale.set("units", unit);
  scale.set("description", description);
  return scale;
}

/// Slices along the axes `chosen` (indices into row_axes), summed over the others.
void write_slices(h5::Group& parent, const Grid& grid, const std::vector<size_t>& chosen, std::vector<Scale> scales) {
  const std::vector<std::string>& row_axes = grid.evaluations[0]->row_axes;
  const auto project = [&](const std::vector<int64_t>& key) {
    std::vector<int64_t> value;
    for (size_t axis : chosen) value.push_back(key.at(axis));
    return value;
  };
  std::map<std::vector<int64_t>, size_t> order;
  for (const Evaluation* evaluation : grid.evaluations)
    for (const EvalSetting& entry : evaluation->settings)
      for (const auto& [key, sums] : entry.slices) order.emplace(project(key), 0);
  if (order.empty()) return;
  size_t count = 0;
  for (auto& [key, index] : order) index = count++;

  std::vector<EvalSums> sums(grid.evaluations.size() * grid.settings.size() * count);
  for (size_t e = 0; e < grid.evaluations.size(); ++e)
    for (size_t s = 0; s < grid.settings.size(); ++s)
      if (const EvalSetting* entry = grid.at(e, s))
        for (const auto& [key, part] : entry->slices)
          sums[(e * grid.settings.size() + s) * count + order.at(project(key))] += part;

  std::vector<std::string> names;
  for (size_t axis : chosen) names.push_back(row_axes[axis]);
  h5::Group group = parent.make_group(slice_group(names));
  std::vector<h5::Dataset> values;
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<int64_t> points;
    for (const auto& [key, index] : order) points.push_back(key[i]);
    values.push_back(write_scale(group, names[i], points, "1", "value of the row on this axis"));
  }
  for (size_t i = 0; i < names.size(); ++i) scales.push_back({2, names[i], &values[i]});
  const h5::Shape shape{static_cast<int64_t>(grid.evaluations.size()), static_cast<int64_t>(grid.settings.size()),
                        static_cast<int64_t>(count)};
  write_sums(group, grid.evaluations[0]->metric, shape, sums, scales, {"evaluation", "setting", "value"});
}

void write_positions(h5::Group& parent, const Grid& grid, std::vector<Scale> scales) {
  const std::vector<int64_t>& edges = grid.evaluations.back()->position_edges;
  if (edges.size() < 2) return;
  const size_t bins = edges.size() - 1;
  std::vector<EvalSums> sums(grid.evaluations.size() * grid.settings.size() * bins);
  for (size_t e = 0; e < grid.evaluations.size(); ++e)
    for (size_t s = 0; s < grid.settings.size(); ++s)
      if (const EvalSetting* entry = grid.at(e, s))
        for (size_t bin = 0; bin < std::min(bins, entry->positions.size()); ++bin)
          sums[(e * grid.settings.size() + s) * bins + bin] = entry->positions[bin];
  h5::Group group = parent.make_group("by_position");
  write_scale(group, "edges", edges, "tokens", "bin i holds positions edges[i] to edges[i+1] - 1");
  h5::Dataset first = write_scale(group, "first", {edges.begin(), edges.end() - 1}, "tokens", "first position of the bin");
  scales.push_back({2, "first", &first});
  const h5::Shape shape{static_cast<int64_t>(grid.evaluations.size()), static_cast<int64_t>(grid.settings.size()),
                        static_cast<int64_t>(bins)};
  write_sums(group, grid.evaluations.back()->metric, shape, sums, scales, {"evaluation", "setting", "position"});
}

/// references/<name>: what Task::references said on the same rows.
void write_references(h5::Group& parent, const Grid& grid, std::vector<Scale> scales) {
  std::set<std::string> names;
  for (const Evaluation* evaluation : grid.evaluations)
    for (const EvalSetting& entry : evaluation->settings)
      for (const auto& [name, sums] : entry.references) names.insert(name);
  const h5::Shape shape{static_cast<int64_t>(grid.evaluations.size()), static_cast<int64_t>(grid.settings.size())};
  for (const std::string& name : names) {
    std::vector<EvalSums> sums(grid.evaluations.size() * grid.settings.size());
    for (size_t e = 0; e < grid.evaluations.size(); ++e)
      for (size_t s = 0; s < grid.settings.size(); ++s)
        if (const EvalSetting* entry = grid.at(e, s); entry && entry->references.count(name))
          sums[e * grid.settings.size() + s] = entry->references.at(name);
    h5::Group group = parent.make_group("references/" + name);
    write_sums(group, grid.evaluations.back()->metric, shape, sums, scales, {"evaluation", "setting"});
  }
}

void write_grid(h5::Group& group, const Grid& grid) {
  const Evaluation& last = *grid.evaluations.back();
  const std::vector<std::string> axes{"evaluation", "setting"};
  const h5::Shape shape{static_cast<int64_t>(grid.evaluations.size()), static_cast<int64_t>(grid.settings.size())};
  group.set("metric", last.metric.name());
  group.set("chance", last.chance);

  std::vector<int64_t> steps;
  for (const Evaluation* evaluation : grid.evaluations) steps.push_back(evaluation->step);
  h5::Dataset step = write_scale(group, "step", steps, "1", "optimizer steps done before the evaluation");
  h5::Dataset length = write_scale(group, "tokens_per_row", grid.lengths, "tokens", "length of a row");
  group.write_text("axes", last.axes);
  group.write_text("row_axes", last.row_axes);
  for (const auto& [axis, names] : last.row_names) group.write_text(names_of(axis), names);
  std::vector<h5::Dataset> points;
  for (size_t axis = 0; axis < last.axes.size(); ++axis) {
    std::vector<int64_t> values;
    for (const Setting& setting : grid.settings) values.push_back(setting.at(axis));
    points.push_back(write_scale(group, last.axes[axis], values, "1", "the setting's value on this axis"));
  }
  std::vector<Scale> scales{{0, "step", &step}};
  for (size_t axis = 0; axis < points.size(); ++axis) scales.push_back({1, last.axes[axis], &points[axis]});
  scales.push_back({1, "tokens_per_row", &length});

  std::vector<EvalSums> sums;
  for (size_t e = 0; e < grid.evaluations.size(); ++e)
    for (size_t s = 0; s < grid.settings.size(); ++s) sums.push_back(grid.at(e, s) ? grid.at(e, s)->sums : EvalSums());
  write_sums(group, last.metric, shape, sums, scales, axes);
  for (const MeasureField& field : kMeasureFields) {
    std::vector<double> values;
    for (size_t e = 0; e < grid.evaluations.size(); ++e)
      for (size_t s = 0; s < grid.settings.size(); ++s) values.push_back(grid.at(e, s) ? grid.at(e, s)->*field.member : kNaN);
    h5::Dataset dataset = group.write(field.name, shape, values);
    describe(dataset, field.unit, field.description, scales, axes);
  }
  std::vector<size_t> all;
  for (size_t axis = 0; axis < last.row_axes.size(); ++axis) {
    all.push_back(axis);
    write_slices(group, grid, {axis}, scales);
  }
  if (all.size() > 1) write_slices(group, grid, all, scales);
  write_positions(group, grid, scales);
  write_references(group, grid, scales);
}

void write_evaluations(h5::Group& group, const std::vector<Evaluation>& evaluations) {
  h5::Group out = group.make_group("eval");
  std::map<std::string, Evaluations> by_name;
  for (const Evaluation& evaluation : evaluations) {
    const std::string name = evaluation.task + "/" + evaluation.split;
    by_name[name].push_back(&evaluation);
  }
  for (const auto& [name, members] : by_name) {
    h5::Group place = out.make_group(name);
    write_grid(place, make_grid(members));
  }
}

}  // namespace

std::string names_of(const std::string& axis) { return axis + "_names"; }

std::string slice_group(const std::vector<std::string>& axes) {
  std::string name = "by_";
  for (size_t i = 0; i < axes.size(); ++i) name += (i ? "_and_" : "") + axes[i];
  return name;
}

void write_record(h5::Group& group, const RunRecord& run) {
  write_root(group, run);
  write_train(group, run.train, run.training_metric());
  write_evaluations(group, run.evaluations);
  write_probes(group, run.probes);
  write_cost(group, run.cost);
}

}  // namespace mneme
