// Files of runs: run.h5, and files of many runs (the NAME.h5 beside a table). docs/file-formats.md describes both.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "results/run_record.h"

namespace mneme {

namespace h5 {
class Group;
}

/// run.h5, or the folder it is in. StoreError: missing, damaged, not a run, or of another schema.
RunRecord read_run(const std::string& path);

/// Every run of run files, run folders, folders of run folders and files of `write_runs`. A run named twice counts once.
/// StoreError where a path holds no run, or a file is damaged; with `damaged` the others are read, and what is wrong with it is added
/// there. Run folders without a run.h5 (nothing to read yet) are passed over.
std::vector<RunRecord> read_runs(const std::vector<std::string>& paths, std::vector<std::string>* damaged = nullptr);

/// Many runs in one file, as long tables (docs/file-formats.md, section "NAME.h5 beside a table"). Written whole, then renamed.
/// `more` adds what a reader of runs passes over.
void write_runs(const std::string& path, const std::vector<RunRecord>& runs, const std::function<void(h5::Group&)>& more = {});

/// The bytes of a run.h5.
std::string run_file_bytes(const RunRecord& run);

}  // namespace mneme
