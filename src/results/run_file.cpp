#include "results/run_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <stdexcept>

#include "base/files.h"
#include "mneme/errors.h"
#include "results/run_layout.h"

namespace mneme {

namespace {

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
  const auto damaged = [&](const std::string& why) {
    return StoreError(why + "; the file is damaged or not a run: move it away or delete it, and run the same command again");
  };
  try {
    return read(h5::File::load(path));
  } catch (const h5::AccessError& error) {
    throw StoreError(error.what());
  } catch (const DataError& error) {
    throw damaged(error.what());
  } catch (const std::logic_error&) {  // an index or a length out of range
    throw damaged(path + ": its arrays do not fit each other");
  }
}

std::string run_file_in(const std::string& path) {
  return std::filesystem::is_directory(path) ? (std::filesystem::path(path) / "run.h5").string() : path;
}

/// Run files below a folder of run folders, in the order of their names.
std::vector<std::string> run_files_below(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code none;  // a folder of somebody else's, a link to nowhere: no run of ours
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_directory(none) && std::filesystem::exists(entry.path() / "run.h5", none)) files.push_back((entry.path() / "run.h5").string());
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

/// Whether two files of one run tell the same: what was counted, at which steps, by which code. Losses pass through means.
bool tell_the_same(const RunRecord& one, const RunRecord& other) {
  const auto counted = [](const RunRecord& run) {
    std::vector<std::string> told{run.info.code_version, run.status, std::to_string(run.train.empty() ? 0 : run.train.back().step)};
    for (const Evaluation& evaluation : run.evaluations)
      for (const EvalSetting& setting : evaluation.settings)
        told.push_back(fmt::format("{} {} {} {} {} {}", evaluation.split, evaluation.step, setting.sums.rows, setting.sums.scored,
                                   setting.sums.correct, setting.sums.exact));
    return told;
  };
  return counted(one) == counted(other);
}

}  // namespace

RunRecord read_run(const std::string& path) {
  const std::string file = run_file_in(path);
  std::vector<RunRecord> runs = read_run_file(file);
  if (runs.size() != 1) throw StoreError(file + ": holds " + std::to_string(runs.size()) + " runs; one is needed here");
  return std::move(runs[0]);
}

std::vector<RunRecord> read_runs(const std::vector<std::string>& paths, std::vector<std::string>* damaged) {
  std::vector<RunRecord> runs;
  std::map<std::string, std::pair<std::string, size_t>> seen;  // by run id: its file, its place in `runs`
  std::string differ;
  for (const std::string& path : paths) {
    const bool of_many = std::filesystem::is_directory(path) && !std::filesystem::exists(run_file_in(path));
    for (const std::string& file : of_many ? run_files_below(path) : std::vector<std::string>{run_file_in(path)}) {
      try {
        for (RunRecord& run : read_run_file(file)) {
          const auto [known, fresh] = seen.try_emplace(run.info.run_id, file, runs.size());
          const auto& [first, place] = known->second;
          if (fresh) runs.push_back(std::move(run));
          else if (first != file && !tell_the_same(runs[place], run))
            differ = fmt::format("{} and {} both hold the run {}, but not the same results: leave one of them out", first, file,
                                 run.info.run_id);
        }
      } catch (const StoreError& error) {
        if (!damaged || !std::filesystem::exists(file)) throw;
        damaged->push_back(error.what());
      }
    }
  }
  if (!differ.empty()) throw StoreError(differ);
  return runs;
}

std::string run_file_bytes(const RunRecord& run) {
  h5::File file = h5::File::in_memory("run.h5");
  write_record(file, run);
  return file.image();
}

void write_runs(const std::string& path, const std::vector<RunRecord>& runs, const std::function<void(h5::Group&)>& more) {
  h5::File file = h5::File::in_memory(path);
  write_run_tables(file, runs);
  if (more) more(file);
  atomic_write(path, file.image());
}

}  // namespace mneme
