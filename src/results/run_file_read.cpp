#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <type_traits>

#include "base/text.h"
#include "mneme/errors.h"
#include "results/run_fields.h"
#include "results/run_file.h"
#include "results/runs_file.h"

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

struct Schema {
  std::string name;  // "mneme.run" or "mneme.runs"
  int64_t version;
};

/// What kind of file this is. StoreError for anything this program cannot read.
Schema schema_of(const h5::Group& group) {
  if (!group.has_attribute("schema") || !group.has_attribute("schema_version"))
    throw StoreError(group.where() + ": is an HDF5 file but not one of Mneme's runs (no attributes schema, schema_version); "
                                     "give a run folder, its run.h5, or the .h5 file beside a table");
  const Schema schema{group.text("schema"), group.integer("schema_version")};
  const int64_t newest = schema.name == "mneme.run" ? kRunSchema : schema.name == "mneme.runs" ? kRunsSchema : 0;
  if (newest == 0)
    throw StoreError(group.where() + ": holds no runs but " + schema.name + "; `mneme inspect` shows such a file");
  if (schema.version < 1 || schema.version > newest) {
    const std::string writer = group.has_attribute("code_version") ? " (" + group.text("code_version") + ")" : "";
    throw StoreError(group.where() + ": has schema " + schema.name + " version " + std::to_string(schema.version) +
                     "; this program reads mneme.run up to version " + std::to_string(kRunSchema) + " and mneme.runs up to version " +
                     std::to_string(kRunsSchema) + "; read it with the version of Mneme that wrote it" + writer);
  }
  return schema;
}

/// A file of many runs of schema 1: each laid out as the root of a run.h5.
std::vector<RunRecord> read_run_groups(const h5::Group& all) {
  std::map<int64_t, std::string> in_order;
  for (const std::string& id : all.names()) in_order.emplace(all.group(id).integer("index"), id);
  std::vector<RunRecord> runs;
  for (const auto& [index, id] : in_order) runs.push_back(read_record(all.group(id)));
  return runs;
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
    const Schema schema = schema_of(file);
    if (schema.name == "mneme.run") return std::vector<RunRecord>{read_record(file)};
    return schema.version == 1 ? read_run_groups(file.group("runs")) : read_run_tables(file);
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
