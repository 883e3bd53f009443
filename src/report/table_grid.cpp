#include "report/table_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"

namespace mneme {

namespace {

std::string number_text(double value, const TableColumn& column, bool sign) {
  if (column.metric) return sign ? column.metric->difference(value) : column.metric->number(value);
  return std::abs(value) < 100 && value != std::round(value) ? fmt::format("{:.1f}", value)
                                                             : grouped(static_cast<int64_t>(std::llround(value)));
}

/// The n of a row's cells where they agree, else 0.
size_t common_n(const TableRow& row) {
  std::set<size_t> sizes;
  for (const TableCell& cell : row.cells)
    if (cell.runs() > 0) sizes.insert(cell.values.size());
  return sizes.size() == 1 ? *sizes.begin() : 0;
}

std::string n_text(const TableRow& row) {
  size_t low = SIZE_MAX, high = 0;
  for (const TableCell& cell : row.cells) {
    if (cell.runs() == 0) continue;
    low = std::min(low, cell.values.size());
    high = std::max(high, cell.values.size());
  }
  if (low > high) return "0";
  return low == high ? std::to_string(low) : fmt::format("{}–{}", low, high);
}

GridCell result_cell(const TableCell& cell, const TableColumn& column, bool sign, bool own_n) {
  GridCell out;
  out.note = absent_text(cell);
  if (cell.values.empty()) {
    out.text = "–";
    return out;
  }
  out.text = number_text(mean(cell.values), column, sign);
  if (cell.values.size() > 1) out.text += " ± " + number_text(standard_deviation(cell.values), column, false);
  if (own_n && out.note.empty()) out.text += fmt::format(" (n={})", cell.values.size());
  if (column.metric && column.metric->is_share() && !sign) out.share = mean(cell.values);
  return out;
}

GridCell cost_cell(const TableCell& cell, const TableColumn& column) {
  GridCell out;
  out.note = absent_text(cell);
  out.text = cell.values.empty() ? "–" : cell_text(cell, column);
  return out;
}

std::string header(const TableColumn& column, bool with_metric) {
  std::string text = join(column.keys, " ");
  if (with_metric || column.keys.empty()) text += (text.empty() ? "" : " ") + column.name;
  if (!column.unit.empty() && (with_metric || column.keys.empty())) text += ", " + column.unit;
  return text;
}

/// The reason for absence that all cells of a row share, said once beside n; else "".
std::string common_note(const TableRow& row) {
  std::set<std::string> notes;
  for (const TableCell& cell : row.cells)
    if (cell.runs() > 0) notes.insert(absent_text(cell));
  return notes.size() == 1 ? *notes.begin() : "";
}

std::vector<GridCell> grid_row(const Table& table, const TableRow& row, bool difference) {
  std::vector<GridCell> cells;
  for (const std::string& key : row.keys) cells.push_back({key, "", -1});
  const std::string note = common_note(row);
  cells.push_back({n_text(row), note, -1});
  const bool own_n = common_n(row) == 0;
  for (size_t i = 0; i < row.cells.size(); ++i)
    cells.push_back(result_cell(row.cells[i], table.columns[i], difference, own_n && row.cells[i].runs() > 0));
  for (GridCell& cell : cells)
    if (&cell != &cells[row.keys.size()] && cell.note == note) cell.note.clear();
  for (size_t i = 0; i < row.costs.size(); ++i) cells.push_back(cost_cell(row.costs[i], table.cost_columns[i]));
  return cells;
}

}  // namespace

std::string grouped(int64_t value) {
  std::string text = std::to_string(value);
  for (size_t place = text.size(); place > (value < 0 ? 4u : 3u); text.insert(place, ",")) place -= 3;
  return text;
}

std::string absent_text(const TableCell& cell) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : cell.absent) parts.push_back(fmt::format("{} {} of {}", reason, count, cell.runs()));
  return join(parts, ", ");
}

std::string cell_text(const TableCell& cell, const TableColumn& column) {
  if (cell.values.empty()) return "–";
  if (!column.keys.empty()) return result_cell(cell, column, false, false).text;
  const auto [low, high] = std::minmax_element(cell.values.begin(), cell.values.end());
  const bool fixed = column.name == "parameters" || column.name == "state" || column.name == "training tokens";
  if (fixed && *low != *high) return number_text(*low, column, false) + "–" + number_text(*high, column, false);
  return number_text(mean(cell.values), column, false);
}

Grid make_grid(const Table& table) {
  Grid grid;
  std::set<std::string> metrics;
  for (const TableColumn& column : table.columns) metrics.insert(column.name);
  grid.headers = table.options.rows;
  grid.key_columns = grid.headers.size();
  grid.headers.push_back("n");
  for (const TableColumn& column : table.columns) grid.headers.push_back(header(column, metrics.size() > 1));
  for (const TableColumn& column : table.cost_columns) grid.headers.push_back(header(column, true));
  for (const TableRow& row : table.rows) grid.rows.push_back(grid_row(table, row, false));
  for (const TableRow& row : table.differences) grid.differences.push_back(grid_row(table, row, true));
  return grid;
}

std::string results_caption(const Table& table) {
  std::set<std::string> metrics;
  for (const TableColumn& column : table.columns) metrics.insert(column.metric->caption());
  std::string text = join({metrics.begin(), metrics.end()}, "; ") + " on the " + table.options.split +
                     " split; mean ± standard deviation over n seeds. Columns: " + join(table.options.columns, ", ");
  if (std::count(table.options.columns.begin(), table.options.columns.end(), "setting") && !table.axes.empty())
    text += " (" + table.axes + ")";
  text[0] = static_cast<char>(std::toupper(text[0]));
  return text + ".";
}

std::string caption(const Table& table) {
  std::string text = results_caption(table);
  if (table.options.costs) text += " State: what one sequence carries at the training length.";
  if (table.options.target > 0) text += " Target: " + format_number(table.options.target) + " on the validation split.";
  return text;
}

}  // namespace mneme
