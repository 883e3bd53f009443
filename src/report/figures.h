// Figures out of runs: the metric against the setting, and the loss while training. One line per row of the comparison.
#pragma once

#include <string>
#include <vector>

#include "report/plot.h"
#include "results/run_record.h"

namespace mneme {

/// The compared arms in display order; an arm's place is its colour everywhere.
std::vector<std::string> arms_of(const std::vector<RunRecord>& runs, const std::string& rows);

struct Figure {
  std::string name;   // file name without ending
  std::string svg;
};

/// One panel per combination of the other axes with at least two points along the axis drawn.
std::vector<Figure> setting_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows);
/// The metric over each row axis (where in the row the needle lies) at the longest setting; the rows of all seeds together.
std::vector<Figure> slice_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows);
/// Mean loss over position in the row; none where the task does not measure it.
std::vector<Figure> position_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows);
std::vector<Figure> training_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows);

}  // namespace mneme
