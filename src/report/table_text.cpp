// A table as Markdown, LaTeX and CSV.
#include <fmt/format.h>

#include "base/text.h"
#include "mneme/errors.h"
#include "report/table_grid.h"

namespace mneme {

namespace {

std::string plain(const GridCell& cell) {
  if (cell.note.empty()) return cell.text;
  return cell.text == "–" ? cell.note : cell.text + " (" + cell.note + ")";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  return text;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += " " + replaced(cell, "|", "\\|") + " |";
  return text + "\n";
}

std::vector<std::string> texts(const std::vector<GridCell>& row) {
  std::vector<std::string> cells;
  for (const GridCell& cell : row) cells.push_back(plain(cell));
  return cells;
}

std::string markdown(const Table& table) {
  const Grid grid = make_grid(table);
  std::string text = table.options.title.empty() ? "" : "**" + table.options.title + "**\n\n";
  const auto block = [&](const std::vector<std::vector<GridCell>>& rows, size_t columns) {
    std::vector<std::string> headers(grid.headers.begin(), grid.headers.begin() + static_cast<ptrdiff_t>(columns));
    text += markdown_row(headers) + "|";
    for (size_t i = 0; i < columns; ++i) text += i < grid.key_columns ? "---|" : "---:|";
    text += "\n";
    for (const std::vector<GridCell>& row : rows) text += markdown_row(texts(row));
  };
  block(grid.rows, grid.headers.size());
  text += "\n" + caption(table) + "\n";
  if (!grid.differences.empty()) {
    text += "\nDifference to " + table.options.paired_with + ", pairs of the same seed:\n\n";
    block(grid.differences, grid.headers.size() - table.cost_columns.size());
  }
  for (const std::string& note : table.notes) text += "\n- " + replaced(note, "\n", "\n  ");
  return table.notes.empty() ? text : text + "\n";
}

std::string tex_escaped(std::string text) {
  text = replaced(text, "\\", "\\textbackslash ");
  for (const char* special : {"&", "%", "$", "#", "_", "{", "}"}) text = replaced(text, special, std::string("\\") + special);
  text = replaced(text, "±", "$\\pm$");
  return replaced(text, "–", "--");
}

std::string tex_row(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = tex_escaped(cell);
  return join(cells, " & ") + " \\\\\n";
}

std::string tex(const Table& table) {
  const Grid grid = make_grid(table);
  std::string text = "% needs booktabs\n";
  const auto block = [&](const std::vector<std::vector<GridCell>>& rows, size_t columns) {
    text += "\\begin{tabular}{" + std::string(grid.key_columns, 'l') + std::string(columns - grid.key_columns, 'r') + "}\n\\toprule\n";
    text += tex_row({grid.headers.begin(), grid.headers.begin() + static_cast<ptrdiff_t>(columns)}) + "\\midrule\n";
    for (const std::vector<GridCell>& row : rows) text += tex_row(texts(row));
    text += "\\bottomrule\n\\end{tabular}\n";
  };
  block(grid.rows, grid.headers.size());
  text += "% " + caption(table) + "\n";
  if (!grid.differences.empty()) {
    text += "% difference to " + table.options.paired_with + ", pairs of the same seed\n";
    block(grid.differences, grid.headers.size() - table.cost_columns.size());
  }
  for (const std::string& note : table.notes) text += "% " + replaced(note, "\n", "\n%") + "\n";
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return "\"" + replaced(text, "\"", "\"\"") + "\"";
}

std::string csv_line(std::vector<std::string> fields) {
  for (std::string& field : fields) field = csv_field(field);
  return join(fields, ",") + "\n";
}

std::string csv(const Table& table) {
  std::vector<std::string> header = table.options.rows;
  header.insert(header.end(), table.options.columns.begin(), table.options.columns.end());
  for (const char* name : {"metric", "unit", "kind", "n", "mean", "sd", "failed", "diverged", "running", "missing", "never"}) header.push_back(name);
  std::string text = csv_line(header);
  const auto add = [&](const TableRow& row, const TableColumn& column, const TableCell& cell, const std::string& kind) {
    if (cell.runs() == 0) return;
    std::vector<std::string> fields = row.keys;
    for (size_t i = 0; i < table.options.columns.size(); ++i) fields.push_back(column.keys.empty() ? "" : column.keys[i]);
    const bool any = !cell.values.empty();
    fields.insert(fields.end(), {column.name, column.metric && column.metric->is_share() ? "1" : column.unit, kind, std::to_string(cell.values.size()),
                                 any ? format_number(mean(cell.values)) : "",
                                 cell.values.size() > 1 ? format_number(standard_deviation(cell.values)) : ""});
    for (const char* reason : {"failed", "diverged", "running", "missing", "never"}) {
      const auto found = cell.absent.find(reason);
      fields.push_back(std::to_string(found == cell.absent.end() ? 0 : found->second));
    }
    text += csv_line(fields);
  };
  for (const TableRow& row : table.rows) {
    for (size_t i = 0; i < row.cells.size(); ++i) add(row, table.columns[i], row.cells[i], "result");
    for (size_t i = 0; i < row.costs.size(); ++i) add(row, table.cost_columns[i], row.costs[i], "cost");
  }
  for (const TableRow& row : table.differences)
    for (size_t i = 0; i < row.cells.size(); ++i) add(row, table.columns[i], row.cells[i], "minus " + table.options.paired_with);
  return text;
}

}  // namespace

std::string table_text(const Table& table, const std::string& format) {
  if (format == "md") return markdown(table);
  if (format == "tex") return tex(table);
  if (format == "csv") return csv(table);
  throw UsageError("there is no table format '" + format + "'; there are: md, tex, csv");
}

}  // namespace mneme
