#include <type_traits>

#include "results/run_fields.h"
#include "results/run_file.h"

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

void write_train(h5::Group& group, const std::vector<TrainRow>& rows) {
  std::vector<h5::Column> columns;
  std::string units;
  each_train_field([&](const char* name, auto member, const char* unit) {
    columns.push_back(column_of(name, rows, member));
    units += (units.empty() ? "" : ", ") + std::string(name) + ": " + unit;
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

}  // namespace

void write_record(h5::Group& group, const RunRecord& run) {
  write_root(group, run);
  write_train(group, run.train);
  write_evaluations(group, run.evaluations);
  write_probes(group, run.probes);
  write_cost(group, run.cost);
}

std::string run_file_bytes(const RunRecord& run) {
  h5::File file = h5::File::in_memory("run.h5");
  write_record(file, run);
  return file.image();
}

}  // namespace mneme
