// The runs that `table` and `report` are about, from what a person names.
#pragma once

#include <string>
#include <vector>

#include "base/outputs.h"
#include "cli/command_line.h"
#include "results/run_record.h"

namespace mneme {

/// Names on the command line: run folders, folders of them, run.h5 and table files, or sweep files (*.ini); without
/// any, results/runs. A sweep file stands for its runs proper, with the command line's overrides; those not there yet
/// come as records of status "missing" (unreadable ones "damaged"), so that no table leaves them out silently. StoreError where there
/// is no run at all.
struct NamedRuns {
  std::vector<RunRecord> runs;
  std::vector<std::string> damaged;  ///< what is wrong with files that could not be read: the others are no worse for it

  /// Says so on stderr; the exit status of a command that showed the others.
  int status() const;
};
NamedRuns named_runs(const CommandLine& line);

/// The files among those names, which no output may replace.
std::vector<NamedPath> named_files(const CommandLine& line);

}  // namespace mneme
