// A table as text cells: what Markdown, LaTeX and HTML have in common.
#pragma once

#include "report/table.h"

namespace mneme {

struct GridCell {
  std::string text = {};
  std::string note = {};     // why runs have no value: "diverged 1 of 3"; "" = all have one
  double share = -1;         // a mean accuracy in [0, 1], for shading; −1 = not one
  bool bold = false;         // a claim that chance does not explain
};

struct Grid {
  std::vector<std::string> headers;
  size_t key_columns = 0;    // the first columns are keys, aligned left
  std::vector<std::vector<GridCell>> rows;         // the last one: rows of the task per seed
  std::vector<std::vector<GridCell>> differences;  // without cost columns
  std::vector<std::pair<std::string, std::string>> footnotes;  // mark and text
};

Grid make_grid(const Table& table);

/// "diverged 1 of 3, missing 1 of 3"
std::string absent_text(const TableCell& cell);

/// What the numbers are: "Exact match in % on the test split; mean ± half-width of its 95 % interval over n seeds. …"
std::string results_caption(const Table& table);
/// The same, what the cost columns are, and where it ran.
std::string caption(const Table& table);
std::string difference_caption(const Table& table);
std::string machine_caption(const Table& table);

/// 1234567 → "1,234,567"
std::string grouped(int64_t value);

}  // namespace mneme
