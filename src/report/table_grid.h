// A table as text cells: what Markdown, LaTeX and HTML have in common.
#pragma once

#include "report/table.h"

namespace mneme {

struct GridCell {
  std::string text;
  std::string note;          // why runs have no value: "diverged 1 of 3"; "" = all have one
  double share = -1;         // a mean accuracy in [0, 1], for shading; −1 = not one
};

struct Grid {
  std::vector<std::string> headers;
  size_t key_columns = 0;    // the first columns are keys, aligned left
  std::vector<std::vector<GridCell>> rows;
  std::vector<std::vector<GridCell>> differences;
};

Grid make_grid(const Table& table);

/// "99.8 ± 0.1", "1.2345 ± 0.0010", "12,345"; without ± where n = 1.
std::string cell_text(const TableCell& cell, const TableColumn& column);
/// "diverged 1 of 3, missing 1 of 3"
std::string absent_text(const TableCell& cell);

/// What the numbers are: "Exact match in % on the test split; mean ± standard deviation over n seeds."
std::string results_caption(const Table& table);
/// The same, and what the cost columns are.
std::string caption(const Table& table);

/// 1234567 → "1,234,567"
std::string grouped(int64_t value);

}  // namespace mneme
