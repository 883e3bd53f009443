// A table as Markdown, LaTeX and CSV.
#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <cstdlib>

#include "base/text.h"
#include "mneme/errors.h"
#include "report/table_grid.h"
#include "report/table_numbers.h"

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

/// Names come from other people's files: nothing in them begins a tag or a link.
std::string markdown_escaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : ' ';
    const bool tag = text[i] == '<' && (std::isalpha(static_cast<unsigned char>(next)) || next == '/' || next == '!' || next == '?');
    if (tag) out += "&lt;";
    else if (text[i] == ']' && next == '(') out += "\\]";
    else out += text[i];
  }
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += " " + replaced(replaced(markdown_escaped(cell), "|", "\\|"), "\n", " ") + " |";
  return text + "\n";
}

std::string markdown(const Table& table) {
  const Grid grid = make_grid(table);
  std::string text = table.options.title.empty() ? "" : "**" + markdown_escaped(table.options.title) + "**\n\n";
  const auto block = [&](const std::vector<std::vector<GridCell>>& rows, size_t columns) {
    std::vector<std::string> headers(grid.headers.begin(), grid.headers.begin() + static_cast<ptrdiff_t>(columns));
    text += markdown_row(headers) + "|";
    for (size_t i = 0; i < columns; ++i) text += i < grid.key_columns ? "---|" : "---:|";
    text += "\n";
    for (const std::vector<GridCell>& row : rows) {
      std::vector<std::string> cells;
      for (const GridCell& cell : row) cells.push_back(cell.bold ? "**" + plain(cell) + "**" : plain(cell));
      text += markdown_row(cells);
    }
  };
  block(grid.rows, grid.headers.size());
  std::vector<std::string> footnotes;
  for (const auto& [mark, footnote] : grid.footnotes) footnotes.push_back(mark + " " + footnote);
  text += "\n" + markdown_escaped(caption(table)) + "\n";
  if (!footnotes.empty()) text += "\n" + markdown_escaped(join(footnotes, " ")) + "\n";
  if (!grid.differences.empty()) {
    text += "\n" + markdown_escaped(difference_caption(table)) + "\n\n";
    block(grid.differences, grid.headers.size() - table.cost_columns.size());
  }
  for (const std::string& note : table.notes) text += "\n- " + replaced(markdown_escaped(note), "\n", "\n  ");
  return table.notes.empty() ? text : text + "\n";
}

std::string tex_escaped(const std::string& cell) {
  std::string text;
  for (const char c : cell) switch (c) {
      case '\\': text += "\\textbackslash{}"; break;
      case '^': text += "\\textasciicircum{}"; break;
      case '~': text += "\\textasciitilde{}"; break;
      case '\n': text += ' '; break;
      case '&': case '%': case '$': case '#': case '_': case '{': case '}': text += std::string("\\") + c; break;
      default: text += c;
    }
  text = replaced(replaced(text, "±", "$\\pm$"), "<", "$<$");
  for (const auto& [mark, digit] : {std::pair("¹", "$^1$"), std::pair("²", "$^2$"), std::pair("³", "$^3$"), std::pair("⁴", "$^4$")}) text = replaced(text, mark, digit);
  return replaced(text, "–", "--");
}

std::string tex(const Table& table) {
  const Grid grid = make_grid(table);
  std::string text = "% needs booktabs\n";
  const auto block = [&](const std::vector<std::vector<GridCell>>& rows, size_t columns) {
    text += "\\begin{tabular}{" + std::string(grid.key_columns, 'l') + std::string(columns - grid.key_columns, 'r') + "}\n\\toprule\n";
    const auto line = [&](const auto& row, size_t count, const auto& text_of) {
      std::vector<std::string> cells;
      for (size_t i = 0; i < count; ++i) cells.push_back(text_of(row[i]));
      text += join(cells, " & ") + " \\\\\n";
    };
    line(grid.headers, columns, tex_escaped);
    text += "\\midrule\n";
    for (const std::vector<GridCell>& row : rows)
      line(row, row.size(), [](const GridCell& cell) { return cell.bold ? "\\textbf{" + tex_escaped(plain(cell)) + "}" : tex_escaped(plain(cell)); });
    text += "\\bottomrule\n\\end{tabular}\n";
  };
  block(grid.rows, grid.headers.size());
  const auto comment = [&](const std::string& words) { text += "% " + replaced(words, "\n", "\n% ") + "\n"; };
  comment(caption(table));
  for (const auto& [mark, footnote] : grid.footnotes) comment(mark + " " + footnote);
  if (!grid.differences.empty()) {
    comment(difference_caption(table));
    block(grid.differences, grid.headers.size() - table.cost_columns.size());
  }
  for (const std::string& note : table.notes) comment(note);
  return text;
}

/// A spreadsheet computes what begins with one of these, unless it is a number.
bool is_formula(const std::string& text) {
  if (text.empty() || std::string_view("=+-@\t").find(text[0]) == std::string_view::npos) return false;
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  return *end != '\0' || end == text.c_str();
}

std::string csv_field(const std::string& given) {
  const std::string text = (is_formula(given) ? "'" : "") + given;
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return "\"" + replaced(text, "\"", "\"\"") + "\"";
}

std::string csv_line(std::vector<std::string> fields) {
  for (std::string& field : fields) field = csv_field(field);
  return join(fields, ",") + "\n";
}

const std::vector<std::string> kReasons{"failed", "diverged", "running", "missing", "damaged", "never", "not finite"};

/// NaN: there is no such number.
std::string number_field(double value) { return std::isfinite(value) ? format_number(value) : ""; }

std::string csv(const Table& table) {
  std::vector<std::string> header = table.options.rows;
  header.insert(header.end(), table.options.columns.begin(), table.options.columns.end());
  for (const char* name : {"metric", "unit", "kind", "n", "mean", "sd", "half_width", "rows", "low", "high", "p", "p_rows", "p_holm"}) header.push_back(name);
  header.insert(header.end(), kReasons.begin(), kReasons.end());
  std::string text = csv_line(header);
  const auto add = [&](const std::vector<std::string>& keys, const TableColumn& column, const std::string& kind, const CellNumbers& cell,
                       const Absent& absent) {
    std::vector<std::string> fields = keys;
    for (size_t i = 0; i < table.options.columns.size(); ++i) fields.push_back(column.keys.empty() ? "" : column.keys[i]);
    fields.insert(fields.end(), {column.name, column.metric && (column.metric->is_share() || column.unit.empty()) ? "1" : column.unit, kind, std::to_string(cell.n)});
    for (const double value : {cell.mean, cell.sd, cell.half_width}) fields.push_back(number_field(value));
    fields.push_back(cell.rows > 0 ? std::to_string(cell.rows) : "");
    for (const double value : {cell.low, cell.high, cell.p, cell.p_rows, cell.p_holm}) fields.push_back(number_field(value));
    for (const std::string& reason : kReasons) fields.push_back(std::to_string(absent.count(reason) ? absent.at(reason) : 0));
    text += csv_line(fields);
  };
  const std::vector<CellNumbers> results = result_numbers(table);
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const TableRow& cells = table.rows[row];
    for (const CellNumbers& cell : results)
      if (cell.row == row) add(cells.keys, table.columns[cell.column], "result", cell, cells.cells[cell.column].absent);
    for (size_t i = 0; i < cells.costs.size(); ++i)
      if (cells.costs[i].runs() > 0) add(cells.keys, table.cost_columns[i], "cost", cost_numbers(cells.costs[i]), cells.costs[i].absent);
  }
  for (const CellNumbers& cell : difference_numbers(table))
    add(table.rows[cell.row].keys, table.columns[cell.column], "minus " + table.options.against, cell, {});
  return text;
}

}  // namespace

std::string table_text(const Table& table, const std::string& format) {
  if (format == "md") return printable(markdown(table));
  if (format == "tex") return printable(tex(table));
  if (format == "csv") return printable(csv(table));
  throw UsageError("there is no table format '" + format + "'; there are: md, tex, csv");
}

}  // namespace mneme
