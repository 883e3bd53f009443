// One self-contained HTML page about a set of runs: what was run, a table and curves per task, what each arm costs,
// training curves, what failed, and where every number comes from.
#pragma once

#include <string>
#include <vector>

#include "results/run_record.h"

namespace mneme {

struct ReportOptions {
  std::string title = "Mneme";
  std::string rows = "arm";          ///< what is compared: a label or config key
  std::string against;               ///< as of tables: also differences to this row
  std::string introduction;          ///< a paragraph of plain text below the title
  bool allow_mixed_versions = false;
  std::vector<std::string> left_out;  ///< what is wrong with files that could not be read
};

std::string report_html(const std::vector<RunRecord>& runs, const ReportOptions& options);

/// A figure of the report as a file of its own: the metric of `task` against its setting, one SVG text per panel, by
/// name ("needle", "rewrite-keys-8").
std::vector<std::pair<std::string, std::string>> task_figures(const std::vector<RunRecord>& runs, const std::string& task,
                                                              const std::string& rows);

}  // namespace mneme
