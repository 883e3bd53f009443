#include <algorithm>
#include <filesystem>
#include <set>

#include "core/text.h"
#include "mneme/errors.h"
#include "results/run_file.h"

namespace mneme {

namespace {

template <class T>
std::vector<T> values_of(const std::vector<h5::Column>& columns, const std::string& name, const std::string& where) {
  for (const h5::Column& column : columns)
    if (column.name == name)
      if (const auto* values = std::get_if<std::vector<T>>(&column.values)) return *values;
  throw StoreError(where + ": the table has no column '" + name + "' of the expected type");
}

template <class T>
void fill(std::vector<TrainRow>& rows, T TrainRow::* member, const std::vector<h5::Column>& columns, const char* name,
          const std::string& where) {
  const std::vector<T> values = values_of<T>(columns, name, where);
  rows.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) rows[i].*member = values[i];
}

std::vector<TrainRow> read_train(const h5::Group& group) {
  const std::vector<h5::Column> columns = group.read_table("train");
  const std::string where = group.where() + "/train";
  std::vector<TrainRow> rows;
  fill(rows, &TrainRow::step, columns, "step", where);
  fill(rows, &TrainRow::tokens, columns, "tokens", where);
  fill(rows, &TrainRow::loss, columns, "loss", where);
  fill(rows, &TrainRow::lr, columns, "lr", where);
  fill(rows, &TrainRow::grad_norm, columns, "grad_norm", where);
  fill(rows, &TrainRow::tokens_per_s, columns, "tokens_per_s", where);
  fill(rows, &TrainRow::rss_mib, columns, "rss_mib", where);
  return rows;
}

void read_root(const h5::Group& group, RunRecord& run) {
  RunInfo& info = run.info;
  info.run_id = group.text("run_id");
  run.status = group.text("status");
  run.error = group.text("error");
  info.config_ini = group.text("config_ini");
  info.config_hash = group.text("config_hash");
  info.code_version = group.text("code_version");
  info.code_dirty = group.integer("code_dirty") != 0;
  info.command_line = group.text("command_line");
  run.created_utc = group.text("created_utc");
  run.finished_utc = group.text("finished_utc");
  info.seed = group.integer("seed");
  info.libtorch_version = group.text("libtorch_version");
  info.blas = group.text("blas");
  info.threads = group.integer("threads");
  info.device = group.text("device");
  info.cpu_model = group.text("cpu_model");
  const h5::Group config = group.group("config");
  for (const std::string& key : config.attributes()) info.values.emplace_back(key, config.text(key));
}

RunCost read_cost(const h5::Group& group) {
  const h5::Group cost = group.group("cost");
  return {cost.integer("parameters"), cost.integer("state_bytes"), cost.integer("training_tokens"),
          cost.real("tokens_per_s"),  cost.real("peak_mib"),       cost.real("wall_seconds")};
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

/// What kind of file this is: "mneme.run" or "mneme.runs". StoreError for anything else.
std::string schema_of(const h5::Group& group) {
  if (!group.has_attribute("schema") || !group.has_attribute("schema_version"))
    throw StoreError(group.where() + ": is an HDF5 file but not one of Mneme's runs (no attributes schema, schema_version); "
                                     "give a run folder, its run.h5, or the .h5 file beside a table");
  const std::string schema = group.text("schema");
  const int64_t version = group.integer("schema_version");
  if ((schema != "mneme.run" && schema != "mneme.runs") || version != kRunSchema) {
    const std::string writer = group.has_attribute("code_version") ? " (" + group.text("code_version") + ")" : "";
    throw StoreError(group.where() + ": has schema " + schema + " version " + std::to_string(version) + "; this program reads " +
                     "mneme.run and mneme.runs version " + std::to_string(kRunSchema) + "; read it with the version of Mneme " +
                     "that wrote it" + writer);
  }
  return schema;
}

/// Opens a run file; every problem with it is a StoreError that says what to do.
template <class Read>
auto with_run_file(const std::string& path, Read read) {
  if (!std::filesystem::exists(path)) throw StoreError(path + ": there is no such file; give a run folder or its run.h5");
  try {
    return read(h5::File::open(path));
  } catch (const DataError& error) {
    throw StoreError(std::string(error.what()) + "; the file is damaged or not a run: move it away or delete it, and run the " +
                     "same command again");
  }
}

std::string run_file_in(const std::string& path) {
  return std::filesystem::is_directory(path) ? (std::filesystem::path(path) / "run.h5").string() : path;
}

/// Run files below a folder of run folders, in the order of their names.
std::vector<std::string> run_files_below(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_directory() && std::filesystem::exists(entry.path() / "run.h5"))
      files.push_back((entry.path() / "run.h5").string());
  std::sort(files.begin(), files.end());
  if (files.empty()) throw StoreError(folder + ": neither it nor a folder in it holds a run.h5");
  return files;
}

std::vector<RunRecord> read_run_file(const std::string& path) {
  return with_run_file(path, [](const h5::File& file) {
    std::vector<RunRecord> runs;
    if (schema_of(file) == "mneme.run") {
      runs.push_back(read_record(file));
      return runs;
    }
    const h5::Group all = file.group("runs");
    std::map<int64_t, std::string> in_order;
    for (const std::string& id : all.names()) in_order.emplace(all.group(id).integer("index"), id);
    for (const auto& [index, id] : in_order) runs.push_back(read_record(all.group(id)));
    return runs;
  });
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

RunRecord read_run(const std::string& path) {
  const std::string file = run_file_in(path);
  std::vector<RunRecord> runs = read_run_file(file);
  if (runs.size() != 1) throw StoreError(file + ": holds " + std::to_string(runs.size()) + " runs; one is needed here");
  return std::move(runs[0]);
}

std::vector<RunRecord> read_runs(const std::vector<std::string>& paths) {
  std::vector<RunRecord> runs;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    const bool of_many = std::filesystem::is_directory(path) && !std::filesystem::exists(run_file_in(path));
    for (const std::string& file : of_many ? run_files_below(path) : std::vector<std::string>{run_file_in(path)})
      for (RunRecord& run : read_run_file(file))
        if (seen.insert(run.info.run_id).second) runs.push_back(std::move(run));
  }
  return runs;
}

std::string RunRecord::value(const std::string& key) const {
  for (const auto& [name, text] : info.values)
    if (name == key) return text;
  return "";
}

std::string RunRecord::label(const std::string& name) const {
  for (const std::string& part : split(value("run.labels"), ','))
    if (const size_t colon = part.find(':'); colon != std::string::npos && trim(part.substr(0, colon)) == name)
      return trim(part.substr(colon + 1));
  return "";
}

const Evaluation* RunRecord::last_evaluation(const std::string& task, const std::string& split_name) const {
  const Evaluation* last = nullptr;
  for (const Evaluation& evaluation : evaluations)
    if (evaluation.task == task && evaluation.split == split_name && (!last || evaluation.step >= last->step)) last = &evaluation;
  return last;
}

}  // namespace mneme
