#include "core/files.h"
#include "results/run_file.h"

namespace mneme {

namespace {

template <class T, class Row, class Member>
h5::Column column(const char* name, const std::vector<Row>& rows, Member member) {
  std::vector<T> values;
  for (const Row& row : rows) values.push_back(row.*member);
  return {name, std::move(values)};
}

void write_root(h5::Group& group, const RunRecord& run) {
  const RunInfo& info = run.info;
  group.set("schema", "mneme.run");
  group.set("schema_version", kRunSchema);
  group.set("run_id", info.run_id);
  group.set("status", run.status);
  group.set("error", run.error);
  group.set("config_ini", info.config_ini);
  group.set("config_hash", info.config_hash);
  group.set("code_version", info.code_version);
  group.set("code_dirty", int64_t{info.code_dirty});
  group.set("command_line", info.command_line);
  group.set("created_utc", run.created_utc);
  group.set("finished_utc", run.finished_utc);
  group.set("seed", info.seed);
  group.set("libtorch_version", info.libtorch_version);
  group.set("blas", info.blas);
  group.set("threads", info.threads);
  group.set("device", info.device);
  group.set("cpu_model", info.cpu_model);
  h5::Group config = group.make_group("config");
  for (const auto& [key, value] : info.values) config.set(key, value);
}

void write_train(h5::Group& group, const std::vector<TrainRow>& rows) {
  h5::Dataset table = group.write_table("train", {column<int64_t>("step", rows, &TrainRow::step),
                                                  column<int64_t>("tokens", rows, &TrainRow::tokens),
                                                  column<double>("loss", rows, &TrainRow::loss),
                                                  column<double>("lr", rows, &TrainRow::lr),
                                                  column<double>("grad_norm", rows, &TrainRow::grad_norm),
                                                  column<double>("tokens_per_s", rows, &TrainRow::tokens_per_s),
                                                  column<double>("rss_mib", rows, &TrainRow::rss_mib)});
  table.set("description", "one row per log interval");
  table.set("units", "step: 1, tokens: 1, loss: nats per scored position, lr: 1, grad_norm: 1 (before clipping), "
                     "tokens_per_s: 1/s, rss_mib: MiB");
}

void write_cost(h5::Group& group, const RunCost& cost) {
  h5::Group out = group.make_group("cost");
  out.set("parameters", cost.parameters);
  out.set("state_bytes", cost.state_bytes);
  out.set("training_tokens", cost.training_tokens);
  out.set("tokens_per_s", cost.tokens_per_s);
  out.set("peak_mib", cost.peak_mib);
  out.set("wall_seconds", cost.wall_seconds);
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

void write_runs(const std::string& path, const std::vector<RunRecord>& runs) {
  h5::File file = h5::File::in_memory(path);
  file.set("schema", "mneme.runs");
  file.set("schema_version", kRunSchema);
  int64_t index = 0;
  for (const RunRecord& run : runs) {
    h5::Group group = file.make_group("runs/" + run.info.run_id);
    group.set("index", index++);  // HDF5 lists names in alphabetical order
    write_record(group, run);
  }
  atomic_write(path, file.image());
}

}  // namespace mneme
